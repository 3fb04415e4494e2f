// SPDX-License-Identifier: Apache-2.0
#include "io/torch_zip.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "io/pickle.h"
#include "io/strided.h"
#include "io/zip.h"

namespace wanslim {
namespace {

using Kind = PickleValue::Kind;

constexpr int kMaxDepth = 8;
constexpr size_t kMaxName = 1024;
constexpr size_t kMaxVisits = 1'000'000;
constexpr std::string_view kWrappers[] = {"state_dict", "model_state_dict", "model",
                                          "module",     "params_ema",       "params"};

[[noreturn]] void fail(const File& file, std::string what, std::string hint = "") {
  throw Error({.what = std::move(what), .where = file.path().string(), .hint = std::move(hint)});
}

struct NamedTensor {
  std::string name;
  const PickledTensor* tensor = nullptr;
};

// Finds the state dict and its tensors. Dicts may share and contain each other, so visits are counted.
class Walk {
 public:
  Walk(const File& file, const Pickle& pickle) : file_(file), pickle_(pickle) {}

  std::vector<NamedTensor> run() {
    const PickleValue& root = value(pickle_.root);
    if (root.kind != Kind::kDict)
      fail(file_, "the file holds no dict of tensors",
           "save the state dict of the module: torch.save(module.state_dict(), path)");
    collect(state_dict(root), "", 0);
    if (out_.empty()) fail(file_, "the file holds no tensors");
    std::sort(out_.begin(), out_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    for (size_t i = 1; i < out_.size(); ++i) {
      if (out_[i].name == out_[i - 1].name) fail(file_, fmt::format("\"{}\" stands twice", out_[i].name));
    }
    return std::move(out_);
  }

 private:
  const PickleValue& value(uint32_t index) const { return pickle_.values[index]; }

  bool has_tensors(const PickleValue& dict) const {
    for (size_t i = 1; i < dict.items.size(); i += 2) {
      if (value(dict.items[i]).kind == Kind::kTensor) return true;
    }
    return false;
  }

  const PickleValue& state_dict(const PickleValue& root) const {
    if (has_tensors(root)) return root;
    std::vector<std::pair<std::string_view, const PickleValue*>> inner;
    for (size_t i = 1; i < root.items.size(); i += 2) {
      const PickleValue& item = value(root.items[i]);
      if (item.kind == Kind::kDict && has_tensors(item))
        inner.emplace_back(value(root.items[i - 1]).text, &item);
    }
    for (std::string_view wrapper : kWrappers) {
      for (const auto& [name, dict] : inner) {
        if (name == wrapper) return *dict;
      }
    }
    if (inner.size() > 1)
      fail(file_,
           fmt::format("the file holds {} dicts of tensors, \"{}\" and \"{}\" among them", inner.size(),
                       inner[0].first, inner[1].first),
           "save the wanted state dict alone");
    return inner.empty() ? root : *inner[0].second;
  }

  void collect(const PickleValue& dict, const std::string& prefix, int depth) {
    if (depth > kMaxDepth)
      fail(file_, fmt::format("dicts lie deeper than {} levels in each other", kMaxDepth));
    for (size_t i = 0; i < dict.items.size(); i += 2) {
      if (++visits_ > kMaxVisits) fail(file_, fmt::format("more than {} entries in dicts", kMaxVisits));
      const PickleValue& key = value(dict.items[i]);
      const PickleValue& item = value(dict.items[i + 1]);
      if (item.kind != Kind::kTensor && item.kind != Kind::kDict) continue;
      if (key.kind != Kind::kString) {
        if (item.kind == Kind::kDict) continue;  // an optimizer's {0: {...}}
        fail(file_, "a tensor's name is no text");
      }
      if (prefix.size() + key.text.size() > kMaxName)
        fail(file_, fmt::format("a tensor name has {} bytes", prefix.size() + key.text.size()));
      const std::string name = prefix + std::string(key.text);
      if (item.kind == Kind::kDict) {
        collect(item, name + ".", depth + 1);
        continue;
      }
      if (out_.size() >= kMaxPickleTensors)
        fail(file_, fmt::format("more than {} tensors", kMaxPickleTensors));
      out_.push_back({name, &pickle_.tensors[static_cast<size_t>(item.integer)]});
    }
  }

  const File& file_;
  const Pickle& pickle_;
  std::vector<NamedTensor> out_;
  size_t visits_ = 0;
};

class Archive {
 public:
  explicit Archive(const File& file) : file_(file), members_(read_zip_directory(file)) {
    constexpr std::string_view kPickle = "/data.pkl";
    for (const auto& [name, member] : members_) {
      if (!name.ends_with(kPickle) || name.find('/') != name.size() - kPickle.size()) continue;
      if (!root_.empty()) fail(file_, fmt::format("two pickles, \"{}\" and \"{}data.pkl\"", name, root_));
      root_ = name.substr(0, name.size() - kPickle.size() + 1);
    }
    if (root_.empty())
      fail(file_, "the zip archive holds no data.pkl, so torch.save did not write it",
           "give the checkpoint file itself");
    if (members_.count(root_ + "byteorder") != 0 && text("byteorder", 16) != "little")
      fail(file_, "the tensors are big-endian", "load and save the file again on a little-endian machine");
  }

  std::string text(const std::string& name, uint64_t limit) const {
    const ZipMember& member = members_.at(root_ + name);
    if (member.bytes > limit)
      fail(file_, fmt::format("\"{}\" has {} bytes, at most {} are read", name, member.bytes, limit));
    std::string out(member.bytes, '\0');
    file_.read_at(zip_member_offset(file_, root_ + name, member), std::as_writable_bytes(std::span(out)));
    return out;
  }

  // File offset of a storage, checked to have the bytes that the pickle says.
  uint64_t storage(const Pickle::Storage& storage) {
    const std::string name = root_ + "data/" + storage.key;
    const auto found = members_.find(name);
    if (found == members_.end()) fail(file_, fmt::format("the member \"{}\" is missing", name));
    if (found->second.bytes != storage.bytes)
      fail(file_, fmt::format("\"{}\" has {} bytes, its tensors expect {}", name, found->second.bytes,
                              storage.bytes));
    auto [known, is_new] = offsets_.emplace(name, 0);
    if (is_new) known->second = zip_member_offset(file_, name, found->second);
    return known->second;
  }

 private:
  const File& file_;
  std::map<std::string, ZipMember> members_;
  std::map<std::string, uint64_t> offsets_;
  std::string root_;
};

TorchEntry place(const File& file, Archive& archive, const Pickle& pickle, const NamedTensor& named) {
  const PickledTensor& t = *named.tensor;
  const auto refuse = [&](const std::string& what) {
    throw Error({.what = what, .where = fmt::format("{}: \"{}\"", file.path().string(), named.name)});
  };
  const Pickle::Storage& storage = pickle.storages[t.storage];
  const uint64_t elements = storage.bytes / size_of(t.dtype);
  TorchEntry entry{.name = named.name, .dtype = t.dtype, .shape = t.shape};
  uint64_t extent = 0, count = 0;
  try {
    count = static_cast<uint64_t>(element_count(t.shape));
    extent = strided_extent(t.shape, t.strides);
  } catch (const Error& e) {
    refuse(e.parts.what);
  }
  const uint64_t offset = static_cast<uint64_t>(t.offset);
  if (extent > elements || offset > elements - extent)
    refuse(fmt::format("shape {} with strides {} from element {} lies outside its storage of {} elements",
                       to_string(t.shape), to_string(t.strides), offset, elements));
  if (count > extent)
    refuse(fmt::format("shape {} repeats elements of its storage (strides {}); save it after .contiguous()",
                       to_string(t.shape), to_string(t.strides)));
  if (!is_contiguous(t.shape, t.strides)) entry.strides = t.strides;
  entry.offset = archive.storage(storage) + offset * size_of(t.dtype);
  return entry;
}

}  // namespace

bool looks_like_torch(const File& file) {
  std::array<std::byte, 4> head{};
  if (file.size() < head.size()) return false;
  file.read_at(0, head);
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  return text == "PK\3\4" || text == "PK\5\6" || (text[0] == '\x80' && text[1] >= 2 && text[1] <= 5);
}

std::vector<TorchEntry> read_torch_zip(const File& file) {
  std::array<std::byte, 2> head{};
  if (file.size() >= head.size()) file.read_at(0, head);
  if (head[0] == std::byte{0x80})
    fail(file, "the file has the old form that torch.save wrote before PyTorch 1.6, not a zip archive",
         "convert it: python3 -c \"import torch; torch.save(torch.load('OLD', weights_only=True), 'NEW')\"");
  Archive archive(file);
  const std::string bytes = archive.text("data.pkl", kMaxPickleBytes);
  const Pickle pickle = read_pickle(bytes, file.path().string() + ": data.pkl");
  std::vector<TorchEntry> out;
  for (const NamedTensor& named : Walk(file, pickle).run())
    out.push_back(place(file, archive, pickle, named));
  return out;
}

}  // namespace wanslim
