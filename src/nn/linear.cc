// SPDX-License-Identifier: Apache-2.0
#include "nn/linear.h"

#include <algorithm>

#include "base/profile.h"
#include "base/threads.h"
#include "kernels/convert.h"
#include "nn/quant_linear.h"

namespace wanslim {
namespace {

PackedWeight pack_weight(const Tensor& weight, Compute compute) {
  const int64_t out = weight.dim(0), in = weight.count() / std::max<int64_t>(1, out);
  if (weight.dtype() == DType::kBF16) return pack_bf16(weight.as<uint16_t>(), out, in);
  if (compute == Compute::kF32) {
    if (weight.dtype() == DType::kF32) return pack_f32(weight.as<float>(), out, in);
    return pack_f32(to_f32(weight).as<float>(), out, in);
  }
  RowBuffer narrow;
  const Tensor wide = weight.dtype() == DType::kF32 ? Tensor() : to_f32(weight);
  const Tensor& source = wide.empty() ? weight : wide;
  convert_rows({DType::kF32, source.raw().data(), out, in}, narrow, DType::kBF16);
  return pack_bf16({narrow.bf16(), static_cast<size_t>(out * in)}, out, in);
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
  return from_float(name, source.load(name + ".weight"), bias, compute);
}

Linear Linear::from_float(std::string name, const Tensor& weight, const Tensor& bias, Compute compute) {
  Linear linear;
  linear.name_ = std::move(name);
  linear.compute_ = compute;
  linear.out_ = weight.dim(0);
  linear.in_ = weight.count() / std::max<int64_t>(1, linear.out_);
  if (!bias.empty()) {
    if (bias.count() != linear.out_) misshapen(linear.name_, weight.shape(), bias.shape());
    linear.bias_ = load_bias(bias, compute);
  }
  linear.weight_ = pack_weight(weight, compute);
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
