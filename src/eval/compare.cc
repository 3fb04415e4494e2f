// SPDX-License-Identifier: Apache-2.0
#include "eval/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "base/error.h"
#include "io/checkpoint.h"
#include "io/media.h"
#include "io/npy.h"

namespace wanslim {
namespace {

enum class Kind : uint8_t { kVideo, kTensors, kOther };

Kind kind_of(const Path& path) {
  constexpr std::array<std::string_view, 10> kVideos = {".mp4", ".mov", ".gif",  ".webm", ".mkv",
                                                        ".png", ".jpg", ".jpeg", ".webp", ".m4v"};
  std::string ending = path.extension().string();
  for (char& c : ending) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (std::find(kVideos.begin(), kVideos.end(), ending) != kVideos.end()) return Kind::kVideo;
  return ending == ".npy" || ending == ".safetensors" ? Kind::kTensors : Kind::kOther;
}

std::map<std::string, Tensor> load_tensors(const Path& path) {
  std::map<std::string, Tensor> out;
  if (path.extension() == ".npy") {
    out.emplace("", read_npy(path));
    return out;
  }
  const Checkpoint file = Checkpoint::open(path);
  for (const StoredTensor& t : file.tensors()) out.emplace(t.name, file.load(t));
  // A name only tells tensors of one file apart.
  if (out.size() == 1) {
    auto node = out.extract(out.begin());
    node.key() = "";
    out.insert(std::move(node));
  }
  return out;
}

TensorComparison compare_tensors(const Tensor& a, const Tensor& b, const std::string& where) {
  if (a.shape() != b.shape()) {
    throw Error({.what = fmt::format("shapes {} and {} differ", to_string(a.shape()), to_string(b.shape())),
                 .where = where,
                 .hint = "compare results of the same size and frame count"});
  }
  const Tensor x = to_float(a, where), y = to_float(b, where);
  TensorComparison out{.shape = a.shape(), .total = tensor_error(x.as<float>(), y.as<float>())};
  if (a.shape().size() == 4) out.frames = frame_errors(x, y);
  return out;
}

std::string joined(const std::string& file, const std::string& tensor) {
  return file.empty() || tensor.empty() ? file + tensor : file + ": " + tensor;
}

// Compares two files of one kind and adds what it finds under `name`.
void compare_files(const Path& a, const Path& b, const std::string& name, const FrameLimits& limits,
                   Comparison& out) {
  const Kind kind = kind_of(a);
  if (kind == Kind::kOther || kind_of(b) != kind) {
    throw Error({.what = fmt::format("cannot compare with {}", b.string()),
                 .where = a.string(),
                 .hint = "give two videos or pictures, two .safetensors or .npy files, or two folders",
                 .kind = Error::Kind::kUsage});
  }
  if (kind == Kind::kVideo) {
    VideoComparison v{.a = read_media(a, limits), .b = read_media(b, limits), .metrics = {}};
    v.metrics = compare_videos(v.a, v.b);
    out.items.push_back({.name = name, .video = std::move(v)});
    return;
  }
  const std::map<std::string, Tensor> x = load_tensors(a), y = load_tensors(b);
  for (const auto& [tensor, value] : x) {
    const auto other = y.find(tensor);
    if (other == y.end()) {
      out.only_a.push_back(joined(name, tensor));
      continue;
    }
    const std::string where = joined(b.string(), tensor);
    out.items.push_back(
        {.name = joined(name, tensor), .tensor = compare_tensors(value, other->second, where)});
  }
  for (const auto& [tensor, value] : y) {
    if (x.find(tensor) == x.end()) out.only_b.push_back(joined(name, tensor));
  }
}

// Names of the files of a folder that can be compared.
std::vector<std::string> comparable_files(const Path& folder) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file() && kind_of(entry.path()) != Kind::kOther) {
      out.push_back(entry.path().filename().string());
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

void compare_folders(const Path& a, const Path& b, const FrameLimits& limits, Comparison& out) {
  const std::vector<std::string> x = comparable_files(a), y = comparable_files(b);
  std::vector<std::string> both;
  std::set_intersection(x.begin(), x.end(), y.begin(), y.end(), std::back_inserter(both));
  std::set_difference(x.begin(), x.end(), y.begin(), y.end(), std::back_inserter(out.only_a));
  std::set_difference(y.begin(), y.end(), x.begin(), x.end(), std::back_inserter(out.only_b));
  for (const std::string& name : both) compare_files(a / name, b / name, name, limits, out);
}

}  // namespace

Comparison compare_paths(const Path& a, const Path& b, const FrameLimits& limits) {
  Comparison out{.a = a, .b = b};
  for (const Path& path : {a, b}) {
    if (!path_exists(path)) {
      throw Error({.what = "there is no such file or folder", .where = path.string()});
    }
  }
  if (is_folder(a) && is_folder(b)) {
    compare_folders(a, b, limits, out);
  } else {
    compare_files(a, b, "", limits, out);
  }
  if (out.items.empty()) {
    throw Error({.what = fmt::format("nothing to compare: no result has the same name in {}", b.string()),
                 .where = a.string()});
  }
  return out;
}

}  // namespace wanslim
