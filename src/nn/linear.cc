// SPDX-License-Identifier: Apache-2.0
#include "nn/linear.h"

#include <algorithm>

#include "base/profile.h"
#include "base/threads.h"
#include "kernels/convert.h"
#include "nn/quant_linear.h"

namespace wanslim {
namespace {

PackedWeight blank_for(const Shape& shape, DType dtype, Compute compute) {
  const int64_t out = shape[0], in = element_count(shape) / std::max<int64_t>(1, out);
  const bool as_bf16 = compute == Compute::kBF16 || dtype == DType::kBF16;
  return blank_weight(as_bf16 ? GemmType::kBF16 : GemmType::kF32, out, in);
}

// Rows [first, ...) of a weight.
void pack_slice(const Tensor& rows, int64_t first, PackedWeight& packed) {
  if (rows.dtype() == DType::kBF16) return pack_rows(rows.as<uint16_t>(), first, packed);
  const Tensor wide = rows.dtype() == DType::kF32 ? Tensor() : to_f32(rows);
  const Tensor& source = wide.empty() ? rows : wide;
  if (packed.type == GemmType::kF32) return pack_rows(source.as<float>(), first, packed);
  const int64_t out = rows.dim(0), in = packed.k;
  RowBuffer narrow;
  convert_rows({DType::kF32, source.raw().data(), out, in}, narrow, DType::kBF16);
  pack_rows(std::span<const uint16_t>(narrow.bf16(), static_cast<size_t>(out * in)), first, packed);
}

// Read, converted and packed in slices that stay in the second cache.
PackedWeight read_weight(const WeightSource& source, const std::string& name, Compute compute) {
  constexpr int64_t kSliceBytes = 512 << 10;
  PackedWeight packed = blank_for(source.shape(name), source.dtype(name), compute);
  const int64_t out = packed.n;
  const int64_t row_bytes =
      std::max<int64_t>(1, packed.k * static_cast<int64_t>(size_of(source.dtype(name))));
  const int64_t step = std::max<int64_t>(1, kSliceBytes / (row_bytes * kPanel)) * kPanel;
  run_workers(threads(), (out + step - 1) / step, [&](int64_t slice) {
    const SerialLoops serial;
    const int64_t first = slice * step;
    pack_slice(source.load_rows(name, first, std::min(step, out - first)), first, packed);
  });
  return packed;
}

std::vector<float> load_bias(const Tensor& bias, Compute compute) {
  const Tensor wide = to_f32(bias);
  std::vector<float> values(wide.as<float>().begin(), wide.as<float>().end());
  if (compute == Compute::kBF16) round_bf16(values, values);
  return values;
}

[[noreturn]] void misshapen(const std::string& name, const Shape& weight, const Shape& bias) {
  throw Error{
      {.what = "bias " + to_string(bias) + " does not fit weight " + to_string(weight), .where = name}};
}

}  // namespace

Linear::Linear() = default;
Linear::~Linear() = default;
Linear::Linear(Linear&&) noexcept = default;
Linear& Linear::operator=(Linear&&) noexcept = default;

Linear Linear::load(const WeightSource& source, std::string_view layer, Compute compute) {
  const std::string name(layer);
  if (std::optional<QuantizedLinear> codes = source.load_quantized(layer)) {
    Linear linear;
    linear.name_ = name;
    linear.compute_ = compute;
    linear.quantized_ = std::make_unique<QuantLinear>(*codes, compute);
    linear.in_ = linear.quantized_->in();
    linear.out_ = linear.quantized_->out();
    return linear;
  }
  const Tensor bias = source.has(name + ".bias") ? source.load(name + ".bias") : Tensor();
  const std::string weight = name + ".weight";
  if (!source.reads_rows(weight)) return from_float(name, source.load(weight), bias, compute);
  Linear linear = blank(name, source.shape(weight), bias, compute);
  linear.weight_ = read_weight(source, weight, compute);
  return linear;
}

Linear Linear::blank(std::string name, const Shape& weight, const Tensor& bias, Compute compute) {
  Linear linear;
  linear.name_ = std::move(name);
  linear.compute_ = compute;
  linear.out_ = weight[0];
  linear.in_ = element_count(weight) / std::max<int64_t>(1, linear.out_);
  if (!bias.empty()) {
    if (bias.count() != linear.out_) misshapen(linear.name_, weight, bias.shape());
    linear.bias_ = load_bias(bias, compute);
  }
  return linear;
}

Linear Linear::from_float(std::string name, const Tensor& weight, const Tensor& bias, Compute compute) {
  Linear linear = blank(std::move(name), weight.shape(), bias, compute);
  linear.weight_ = blank_for(weight.shape(), weight.dtype(), compute);
  pack_slice(weight, 0, linear.weight_);
  return linear;
}

void Linear::forward(const Rows& x, const LinearTarget& target, const Pass& pass) const {
  CHECK(x.dtype == dtype_of(compute_) && x.width == in_);
  if (pass.tap != nullptr) pass.tap->input(name_, x);
  if (!wants_values(pass.tap)) return run(x, target, pass);
  // Show y, then do what the epilogue would have done with it.
  RowBuffer y(dtype_of(compute_), x.count, out_);
  LinearTarget plain{.activation = target.activation};
  (compute_ == Compute::kF32 ? plain.f32 = y.f32() : nullptr);
  (compute_ == Compute::kBF16 ? plain.bf16 = y.bf16() : nullptr);
  run(x, plain, pass);
  pass.tap->value(name_, y);
  if (target.bf16 != nullptr) {
    RowBuffer narrow;
    convert_rows(y, narrow, DType::kBF16);
    std::copy_n(narrow.bf16(), x.count * out_, target.bf16);
    return;
  }
  RowBuffer wide;
  convert_rows(y, wide, DType::kF32);
  for (int64_t i = 0; i < x.count * out_; ++i) {
    const float value = target.gate != nullptr ? wide.f32()[i] * target.gate[i % out_] : wide.f32()[i];
    target.f32[i] = target.add ? target.f32[i] + value : value;
  }
}

void Linear::run(const Rows& x, const LinearTarget& target, const Pass& pass) const {
  const char* kind = compute_ == Compute::kF32 ? "Linear, float" : "Linear, bf16";
  if (quantized_) kind = quantized_->is_integer() ? "Linear, integer codes" : "Linear, dequantized codes";
  const Timed timed(kind, 2.0 * static_cast<double>(x.count) * static_cast<double>(in_ * out_));
  Epilogue epilogue{.bias = bias_.empty() ? nullptr : bias_.data(),
                    .round = compute_ == Compute::kBF16,
                    .activation = target.activation,
                    .bf16 = target.bf16,
                    .f32 = target.f32,
                    .add = target.add,
                    .gate = target.gate};
  if (quantized_) return quantized_->forward(x, epilogue, pass.step);
  if (compute_ == Compute::kF32) return gemm_f32(x.f32(), x.count, weight_, epilogue);
  gemm_bf16(x.bf16(), x.count, weight_, epilogue);
}

bool Linear::needs_all_rows() const {
  return quantized_ && quantized_->needs_all_rows();
}

size_t Linear::bytes() const {
  return weight_.bytes() + bias_.size() * sizeof(float) + (quantized_ ? quantized_->bytes() : 0);
}

}  // namespace wanslim
