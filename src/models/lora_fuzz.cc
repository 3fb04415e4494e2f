// SPDX-License-Identifier: Apache-2.0
// Any set of keys, shapes, dtypes and values with any adapter_config.json either merges into the tensors that
// it touches or is refused with an Error. Input: config text, a zero byte, then records of 6 bytes {tensor of
// a small transformer, prefix, ending, dtype and value, two extents}.
#include <algorithm>

#include "base/error.h"
#include "io/testing.h"
#include "models/lora.h"

namespace {

using namespace wanslim;

constexpr std::string_view kPrefixes[] = {
    "",           "diffusion_model.",  "transformer.", "base_model.model.",
    "lora_unet_", "lora_transformer_", "blocks.0."};
constexpr std::string_view kEndings[] = {".lora_down.weight",
                                         ".lora_up.weight",
                                         ".lora_A.weight",
                                         ".lora_B.weight",
                                         ".alpha",
                                         ".dora_scale",
                                         ".diff",
                                         ".diff_b",
                                         ".diff_m",
                                         ".lora_magnitude_vector",
                                         ".lokr_w1",
                                         ".lora_A.default.weight"};

const std::vector<TensorSpec>& model() {
  static const std::vector<TensorSpec> kSpecs =
      tensor_specs({.dim = 128, .ffn_dim = 96, .heads = 1, .layers = 1});
  return kSpecs;
}

template <size_t N>
std::string_view pick(const std::string_view (&list)[N], uint8_t byte) {
  return list[byte % N];
}

std::pair<std::string, Tensor> from_record(const uint8_t* r) {
  const TensorSpec& spec = model()[r[0] % model().size()];
  const std::optional<std::string> named = name_in(static_cast<Naming>(r[1] / 64 % 3), spec.layer);
  std::string module = named ? *named : spec.layer;
  const std::string_view prefix = pick(kPrefixes, r[1] % 64);
  if (prefix.ends_with('_')) std::replace(module.begin(), module.end(), '.', '_');
  Shape shape = {r[4] % 9, r[5] % 9};
  if (r[4] & 128 && !spec.shape.empty()) shape[0] = spec.shape[0];
  if (r[5] & 128 && !spec.shape.empty())
    shape[1] = element_count(spec.shape) / std::max<int64_t>(1, spec.shape[0]);
  if (r[4] & 64) shape = spec.shape;
  if (r[5] & 64) shape.clear();
  constexpr DType kTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kF64, DType::kI8};
  Tensor tensor(kTypes[r[3] % std::size(kTypes)], shape);
  std::ranges::fill(tensor.raw(), std::byte{r[3]});
  return {std::string(prefix) + module + std::string(pick(kEndings, r[2])), std::move(tensor)};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const wanslim::testing::TempDir folder;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view config = text.substr(0, text.find('\0'));
  text.remove_prefix(std::min(size, config.size() + 1));
  std::map<std::string, Tensor> tensors;
  for (; text.size() >= 6 && tensors.size() < 100; text.remove_prefix(6))
    tensors.insert(from_record(reinterpret_cast<const uint8_t*>(text.data())));
  const Path file = folder / "adapter.safetensors", beside = folder / "adapter_config.json";
  wanslim::testing::write_safetensors(file, tensors);
  std::filesystem::remove(beside);
  if (!config.empty()) wanslim::testing::write_text(beside, config);
  try {
    const LoraFile lora{.path = file, .strength = 0.5};
    const LoraSet set = LoraSet::open({&lora, 1}, model());
    CHECK(set.tensors() > 0 && set.tensors() <= tensors.size());
    for (const TensorSpec& spec : model()) {
      if (!set.touches(spec.name)) continue;
      Tensor weight(DType::kF32, spec.shape);
      std::ranges::fill(weight.raw(), std::byte{0});
      set.apply(spec.name, weight);
    }
  } catch (const Error&) {
  }
  return 0;
}
