// SPDX-License-Identifier: Apache-2.0
#include "formats/gguf_verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <span>

#include "base/error.h"
#include "base/threads.h"
#include "formats/gguf_text.h"
#include "formats/loader_checks.h"
#include "io/gguf.h"
#include "tensor/ggml_blocks.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr std::string_view kEnding = ".gguf";
constexpr std::string_view kPrefix = "model.diffusion_model.";  // ComfyUI-GGUF takes it off

constexpr std::string_view kNeverInBlocks[] = {"modulation",
                                               "patch_embedding.",
                                               "vace_patch_embedding.",
                                               "text_embedding.",
                                               "time_projection.",
                                               "time_embedding.",
                                               "img_emb.",
                                               "head."};
// By these ComfyUI and its converter know the model.
constexpr std::string_view kDetection[] = {"blocks.0.self_attn.norm_q.weight", "text_embedding.2.weight",
                                           "head.modulation"};

// Where the half precision scales of a block lie.
struct ScalePlace {
  Encoding encoding;
  int first, second;  // byte offsets; second -1: there is one
};
constexpr ScalePlace kScales[] = {
    {Encoding::kQ8_0, 0, -1}, {Encoding::kQ4_0, 0, -1},   {Encoding::kQ6_K, 208, -1}, {Encoding::kQ5_K, 0, 2},
    {Encoding::kQ4_K, 0, 2},  {Encoding::kQ3_K, 108, -1}, {Encoding::kQ2_K, 80, 82}};

Path file_of(const Path& path) {
  if (!is_folder(path)) return path;
  std::vector<Path> found;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.path().extension() == kEnding && entry.is_regular_file()) found.push_back(entry.path());
  }
  if (found.size() == 1) return found[0];
  throw Error({.what = fmt::format("expected one .gguf file, found {}", found.size()),
               .where = path.string(),
               .hint = "name the file itself"});
}

std::string_view official(std::string_view name) {
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

bool is_text_encoder(const Checkpoint& file) {
  const auto it = file.metadata().find("general.architecture");
  return it != file.metadata().end() && it->second == kGgufTextEncoder;
}

bool finite_half(const std::byte* bytes) {
  return (std::to_integer<int>(bytes[1]) & 0x7c) != 0x7c;
}

// The index of the first block whose scale is not finite, or -1.
int64_t first_bad_block(const Checkpoint& file, const StoredTensor& tensor, Encoding encoding) {
  const auto* place = std::find_if(std::begin(kScales), std::end(kScales),
                                   [&](const ScalePlace& s) { return s.encoding == encoding; });
  CHECK(place != std::end(kScales));
  const Tensor blocks = file.load(tensor);
  const auto size = static_cast<size_t>(ggml_block(encoding).bytes);
  for (size_t at = 0; at + size <= blocks.bytes(); at += size) {
    const std::byte* block = blocks.raw().data() + at;
    if (!finite_half(block + place->first) || (place->second >= 0 && !finite_half(block + place->second)))
      return static_cast<int64_t>(at / size);
  }
  return -1;
}

class GgufSource : public WeightSource {
 public:
  explicit GgufSource(const Path& path) : file_(Checkpoint::open(file_of(path))) {
    const bool text = is_text_encoder(file_);
    for (const StoredTensor& t : file_.tensors()) {
      const auto renamed = text ? umt5_official_name(Umt5Naming::kGguf, t.name) : std::nullopt;
      by_name_.emplace(renamed ? *renamed : std::string(official(t.name)), &t);
    }
  }
  bool has(std::string_view tensor) const override { return by_name_.contains(tensor); }
  Shape shape(std::string_view tensor) const override { return at(tensor).shape; }
  DType dtype(std::string_view tensor) const override { return at(tensor).dtype; }
  Tensor load(std::string_view tensor) const override { return file_.load(at(tensor)); }
  bool reads_rows(std::string_view tensor) const override { return at(tensor).strides.empty(); }
  Tensor load_rows(std::string_view tensor, int64_t first, int64_t count) const override {
    return file_.load_rows(at(tensor), first, count);
  }

  std::optional<QuantizedLinear> load_quantized(std::string_view layer) const override {
    const std::string name(layer);
    if (!has(name + ".weight") || at(name + ".weight").block_type.empty()) return std::nullopt;
    const StoredTensor& weight = at(name + ".weight");
    const GgufType* type = find_gguf_type(weight.block_type);
    if (type->encoding == Encoding::kFloat || weight.shape.size() != 2) {
      throw Error({.what = fmt::format("the type {} cannot be decoded here", weight.block_type),
                   .where = file_.describe(weight),
                   .hint = "Q8_0, Q6_K, Q5_K, Q4_K, Q4_0, Q3_K and Q2_K can"});
    }
    QuantizedLinear q{.name = name};
    q.scheme.weight = type->encoding;
    q.scheme.weight_granularity = Granularity::kBlock;
    q.scheme.group = 32;
    q.weight = file_.load(weight);
    if (has(name + ".bias")) q.bias = bias(name + ".bias");
    return q;
  }

 private:
  const StoredTensor& at(std::string_view tensor) const {
    const auto it = by_name_.find(tensor);
    if (it != by_name_.end()) return *it->second;
    throw Error({.what = "the tensor is not in the file",
                 .where = fmt::format("{}: \"{}\"", file_.files()[0].file.path().string(), tensor)});
  }
  Tensor bias(const std::string& name) const {
    Tensor stored = load(name);
    if (stored.dtype() == DType::kF32) return stored;
    if (stored.dtype() != DType::kF16 && stored.dtype() != DType::kBF16)
      throw Error({.what = "the bias is no float tensor", .where = file_.describe(at(name))});
    Tensor out(DType::kF32, stored.shape());
    for (size_t i = 0; i < out.as<float>().size(); ++i) {
      const uint16_t bits = stored.as<uint16_t>()[i];
      out.as<float>()[i] = stored.dtype() == DType::kF16 ? f16_to_float(bits) : bf16_to_float(bits);
    }
    return out;
  }

  Checkpoint file_;
  std::map<std::string, const StoredTensor*, std::less<>> by_name_;
};

void check_metadata(const Checkpoint& file, VerifyReport& report) {
  const auto expect = [&](const char* key, std::string_view value) {
    const auto it = file.metadata().find(key);
    const std::string got = it == file.metadata().end() ? "missing" : '"' + printable(it->second) + '"';
    if (got != fmt::format("\"{}\"", value))
      report.problems.push_back(fmt::format("{} is {}, the loaders expect \"{}\"", key, got, value));
  };
  expect("general.architecture", is_text_encoder(file) ? kGgufTextEncoder : kGgufTransformer);
  expect("general.quantization_version", "2");
  report.checked.emplace_back("metadata: architecture and version of the block formats");
}

// ggml itself wants each tensor right behind the one before.
void check_places(const Checkpoint& file, VerifyReport& report) {
  std::vector<const StoredTensor*> order;
  for (const StoredTensor& t : file.tensors()) order.push_back(&t);
  std::sort(order.begin(), order.end(),
            [](const StoredTensor* a, const StoredTensor* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    const uint64_t end = order[i - 1]->offset + order[i - 1]->bytes;
    if (order[i]->offset - end < kGgufAlignment) continue;
    report.problems.push_back(
        fmt::format("{} begins {} bytes behind the tensor before it, ggml expects it right there",
                    order[i]->name, order[i]->offset - end));
  }
}

void check_types(const Checkpoint& file, VerifyReport& report) {
  std::map<std::string, int> counts;
  for (const StoredTensor& t : file.tensors()) {
    const bool blocks = !t.block_type.empty();
    ++counts[std::string(blocks ? t.block_type : name_of(t.dtype))];
    if (blocks && never_in_blocks(official(t.name)))
      report.problems.push_back(
          fmt::format("{} is {}, the loaders expect plain floats", t.name, t.block_type));
    if (blocks && t.shape.size() != 2)
      report.problems.push_back(fmt::format("{} is {} of {} dimensions, the loaders expect 2", t.name,
                                            t.block_type, t.shape.size()));
    if (!blocks && !info(t.dtype).is_float)
      report.problems.push_back(fmt::format("{} is {}, the loaders expect floats", t.name, name_of(t.dtype)));
    if (t.dtype == DType::kBF16)
      report.problems.push_back(t.name + " is BF16, whose bytes LightX2V takes for U8");
    if (t.shape.size() > 4 && t.dtype != DType::kF32)
      report.problems.push_back(fmt::format("{} has {} dimensions and is {}, the loaders expect F32", t.name,
                                            t.shape.size(), name_of(t.dtype)));
  }
  std::string text;
  for (const auto& [type, count] : counts)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, type);
  report.checked.push_back(
      fmt::format("types, ranks and places of {} tensors: {}", file.tensors().size(), text));
}

void check_scales_of_blocks(const Checkpoint& file, VerifyReport& report) {
  std::vector<const StoredTensor*> tensors;
  for (const StoredTensor& t : file.tensors()) {
    if (!t.block_type.empty() && find_gguf_type(t.block_type)->encoding != Encoding::kFloat)
      tensors.push_back(&t);
  }
  std::mutex mutex;
  std::map<std::string, int64_t> bad;
  run_workers(threads(), static_cast<int64_t>(tensors.size()), [&](int64_t i) {
    const StoredTensor& t = *tensors[static_cast<size_t>(i)];
    const int64_t block = first_bad_block(file, t, find_gguf_type(t.block_type)->encoding);
    if (block < 0) return;
    std::lock_guard guard(mutex);
    bad[t.name] = block;
  });
  for (const auto& [name, block] : bad)
    report.problems.push_back(fmt::format("{}: the scale of block {} is not finite", name, block));
  report.checked.push_back(fmt::format("finite scales in the blocks of {} tensors", tensors.size()));
}

}  // namespace

bool never_in_blocks(std::string_view tensor) {
  return tensor.find(".modulation") != std::string_view::npos ||
         std::any_of(std::begin(kNeverInBlocks), std::end(kNeverInBlocks),
                     [&](std::string_view prefix) { return tensor.starts_with(prefix); });
}

bool recognizes_gguf(const Path& path) {
  if (!is_folder(path)) return path.extension() == kEnding;
  std::error_code error;
  const std::filesystem::directory_iterator entries(path, error);
  return std::any_of(begin(entries), end(entries),
                     [](const auto& entry) { return entry.path().extension() == kEnding; });
}

VerifyReport verify_gguf(const Path& path) {
  VerifyReport report;
  const Checkpoint file = Checkpoint::open(file_of(path));
  check_metadata(file, report);
  const bool text = is_text_encoder(file);
  if (text) verify_text_encoder(file, report);
  for (const std::string_view name : text ? std::span<const std::string_view>() : kDetection) {
    if (!file.find(name) && !file.find(std::string(kPrefix) + std::string(name)))
      report.problems.push_back(fmt::format("{} is missing, by which loaders know the model", name));
  }
  check_types(file, report);
  check_places(file, report);
  check_scales_of_blocks(file, report);
  const auto blocks = std::count_if(file.tensors().begin(), file.tensors().end(),
                                    [](const StoredTensor& t) { return !t.block_type.empty(); });
  if (blocks == 0) report.problems.emplace_back("the file has no quantized tensor");
  return report;
}

std::unique_ptr<WeightSource> read_gguf(const Path& path) {
  return std::make_unique<GgufSource>(path);
}

}  // namespace wanslim
