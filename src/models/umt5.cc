// SPDX-License-Identifier: Apache-2.0
#include "models/umt5.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/portable_math.h"
#include "base/profile.h"
#include "kernels/convert.h"
#include "kernels/norm.h"
#include "models/float_weights.h"
#include "models/umt5_math.h"

namespace wanslim {
namespace {

constexpr auto kEps = static_cast<float>(kUmt5Eps);
constexpr std::string_view kFiles[] = {"models_t5_umt5-xxl-enc-bf16.pth",
                                       "models_t5_umt5-xxl-enc-bf16.safetensors"};

void require_finite(const Rows& x, std::string_view module) {
  const int64_t row = first_row_not_finite(x);
  if (row < 0) return;
  throw Error({.what = fmt::format("a value of token {} is no longer finite after {}", row, module),
               .where = "umT5 text encoder",
               .hint = "the weights are damaged; download the text encoder again"});
}

void show(const Pass& pass, int64_t block, std::string_view module, const Rows& rows) {
  if (wants_values(pass.tap)) pass.tap->value(fmt::format("blocks.{}.{}", block, module), rows);
}

void norm_rows(const Rows& x, const std::vector<float>& weight, RowBuffer& y) {
  const Timed timed("norms, modulation, rotation");
  y.resize(x.dtype, x.count, x.width);
  const RmsNorm norm{.eps = kEps, .weight = weight.data(), .round = x.dtype == DType::kBF16};
  if (x.dtype == DType::kF32) {
    rms_norm(x.f32(), x.count, x.width, norm, y.f32());
  } else {
    rms_norm(x.bf16(), x.count, x.width, norm, y.bf16());
  }
}

RowBuffer apply(const Linear& linear, const Rows& x, const Pass& pass) {
  RowBuffer y(x.dtype, x.count, linear.out());
  LinearTarget target;
  if (x.dtype == DType::kF32) {
    target.f32 = y.f32();
  } else {
    target.bf16 = y.bf16();
  }
  linear.forward(x, target, pass);
  return y;
}

}  // namespace

struct Umt5Encoder::Block {
  int64_t index = 0;
  std::vector<float> norm1, norm2, positions;  // positions: [buckets, heads]
  Linear q, k, v, o, gate, fc1, fc2;
};

NamedCheckpoint open_umt5(const Path& path) {
  const Path file = find_in_folder(path, "text encoder", kFiles);
  Checkpoint checkpoint = Checkpoint::open(file);
  const std::optional<Umt5Naming> naming = detect_umt5_naming(checkpoint.tensors());
  if (!naming) {
    throw Error({.what = "this is no umT5 text encoder: it has no token embedding",
                 .where = file.string(),
                 .hint = "give models_t5_umt5-xxl-enc-bf16.pth of the checkpoint"});
  }
  for (const StoredTensor& tensor : checkpoint.tensors()) {
    const auto name = umt5_official_name(*naming, tensor.name);
    const bool floats =
        tensor.dtype == DType::kF32 || tensor.dtype == DType::kBF16 || tensor.dtype == DType::kF16;
    if (name && name->ends_with(".weight") && !floats) {
      throw Error({.what = fmt::format("holds {}, expected F32, BF16 or F16", name_of(tensor.dtype)),
                   .where = checkpoint.describe(tensor),
                   .hint = "this text encoder is quantized; give the float one"});
    }
  }
  return NamedCheckpoint(std::move(checkpoint),
                         [&](std::string_view name) { return umt5_official_name(*naming, name); });
}

Umt5Encoder::Umt5Encoder(const WeightSource& weights, const Umt5Options& options)
    : weights_(weights), options_(options), geometry_(umt5_geometry(weights)) {
  for (int64_t i = 0; options.keep_weights && i < geometry_.layers; ++i) kept_.push_back(load_block(i));
}
Umt5Encoder::~Umt5Encoder() = default;
Umt5Encoder::Umt5Encoder(Umt5Encoder&&) noexcept = default;

Umt5Encoder::Block Umt5Encoder::load_block(int64_t index) const {
  const Timed timed("reading and packing of blocks");
  const std::string prefix = fmt::format("blocks.{}.", index);
  const auto linear = [&](const char* name) {
    return Linear::load(weights_, prefix + name, options_.compute);
  };
  const auto floats = [&](const char* name, const Shape& shape) {
    std::vector<float> out = load_floats(weights_, prefix + name, shape);
    if (options_.compute == Compute::kBF16) round_bf16(out, out);
    return out;
  };
  return {.index = index,
          .norm1 = floats("norm1.weight", {geometry_.dim}),
          .norm2 = floats("norm2.weight", {geometry_.dim}),
          .positions = floats("pos_embedding.embedding.weight", {geometry_.buckets, geometry_.heads}),
          .q = linear("attn.q"),
          .k = linear("attn.k"),
          .v = linear("attn.v"),
          .o = linear("attn.o"),
          .gate = linear("ffn.gate.0"),
          .fc1 = linear("ffn.fc1"),
          .fc2 = linear("ffn.fc2")};
}

RowBuffer Umt5Encoder::embed(std::span<const std::vector<int32_t>> prompts) const {
  int64_t tokens = 0;
  for (const auto& ids : prompts) tokens += static_cast<int64_t>(ids.size());
  RowBuffer wide(DType::kF32, tokens, geometry_.dim), x;
  int64_t row = 0;
  for (const auto& ids : prompts) {
    if (ids.empty()) throw Error({.what = "a prompt without tokens", .where = "umT5 text encoder"});
    for (int32_t id : ids) {
      if (id < 0 || id >= geometry_.vocabulary) {
        throw Error(
            {.what = fmt::format("token {} is outside the vocabulary of {}", id, geometry_.vocabulary),
             .where = "umT5 text encoder",
             .hint = "the tokenizer and the text encoder are not of the same checkpoint"});
      }
      const std::string name = "token_embedding.weight";
      const std::vector<float> values = to_floats(weights_.load_rows(name, id, 1), name);
      std::copy(values.begin(), values.end(), wide.f32() + row++ * geometry_.dim);
    }
  }
  convert_rows(wide, x, dtype_of(options_.compute));
  return x;
}

void Umt5Encoder::attend(const Block& block, std::span<const int64_t> starts, const Rows& normed,
                         RowBuffer& x, const Pass& pass) const {
  const RowBuffer q = apply(block.q, normed, pass), k = apply(block.k, normed, pass),
                  v = apply(block.v, normed, pass);
  RowBuffer mixed(x.dtype(), x.count(), geometry_.attention_dim);
  for (size_t prompt = 0; prompt + 1 < starts.size(); ++prompt) {
    const int64_t first = starts[prompt], tokens = starts[prompt + 1] - first;
    std::vector<float> bias(static_cast<size_t>(geometry_.heads * (2 * tokens - 1)));
    for (int64_t head = 0; head < geometry_.heads; ++head) {
      for (int64_t i = 0; i < 2 * tokens - 1; ++i) {
        const int64_t bucket = umt5_bucket(i - tokens + 1, geometry_.buckets);
        bias[static_cast<size_t>(head * (2 * tokens - 1) + i)] =
            block.positions[static_cast<size_t>(bucket * geometry_.heads + head)];
      }
    }
    umt5_attention(q.view().slice(first, tokens), k.view().slice(first, tokens),
                   v.view().slice(first, tokens), geometry_.heads, bias, mixed, first);
  }
  const RowBuffer y = apply(block.o, mixed, pass);
  show(pass, block.index, "attn", y);
  umt5_add(x, y);
}

void Umt5Encoder::feed_forward(const Block& block, const Rows& normed, RowBuffer& x, const Pass& pass) const {
  const RowBuffer gate = apply(block.gate, normed, pass);
  RowBuffer hidden = apply(block.fc1, normed, pass);
  umt5_gate(hidden, gate);
  const RowBuffer y = apply(block.fc2, hidden, pass);
  show(pass, block.index, "ffn", y);
  umt5_add(x, y);
}

void Umt5Encoder::run_block(const Block& block, std::span<const int64_t> starts, RowBuffer& x,
                            const Pass& pass) const {
  RowBuffer normed;
  norm_rows(x, block.norm1, normed);
  show(pass, block.index, "norm1", normed);
  attend(block, starts, normed, x, pass);
  require_finite(x, fmt::format("blocks.{}.attn", block.index));
  norm_rows(x, block.norm2, normed);
  show(pass, block.index, "norm2", normed);
  feed_forward(block, normed, x, pass);
  require_finite(x, fmt::format("blocks.{}.ffn", block.index));
  show(pass, block.index, "out", x);
}

std::vector<Tensor> Umt5Encoder::encode(std::span<const std::vector<int32_t>> prompts,
                                        const Pass& pass) const {
  std::vector<int64_t> starts = {0};
  for (const auto& ids : prompts) starts.push_back(starts.back() + static_cast<int64_t>(ids.size()));
  RowBuffer x = embed(prompts);
  for (int64_t i = 0; i < geometry_.layers; ++i) {
    if (options_.keep_weights) {
      run_block(kept_[static_cast<size_t>(i)], starts, x, pass);
    } else {
      run_block(load_block(i), starts, x, pass);
    }
  }
  std::vector<float> weight = load_floats(weights_, "norm.weight", {geometry_.dim});
  if (options_.compute == Compute::kBF16) round_bf16(weight, weight);
  RowBuffer normed;
  norm_rows(x, weight, normed);
  std::vector<Tensor> out;
  for (size_t prompt = 0; prompt + 1 < starts.size(); ++prompt) {
    const Rows rows = normed.view().slice(starts[prompt], starts[prompt + 1] - starts[prompt]);
    Tensor& features = out.emplace_back(rows.dtype, Shape{rows.count, rows.width});
    std::memcpy(features.raw().data(), rows.data, features.bytes());
  }
  return out;
}

int64_t umt5_bucket(int64_t relative, int64_t buckets) {
  const int64_t half = buckets / 2, exact = half / 2;
  const int64_t sign = relative > 0 ? half : 0;
  const int64_t distance = std::abs(relative);
  if (distance < exact) return sign + distance;
  const double steps = portable_log(static_cast<double>(distance) / static_cast<double>(exact)) /
                       portable_log(static_cast<double>(kUmt5MaxDistance) / static_cast<double>(exact)) *
                       static_cast<double>(half - exact);
  // The powers of two that divide the scale evenly must not fall below their whole number.
  return sign + std::min(half - 1, exact + static_cast<int64_t>(steps + 1e-9));
}

}  // namespace wanslim
