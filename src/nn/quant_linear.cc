// SPDX-License-Identifier: Apache-2.0
#include "nn/quant_linear.h"

#include <algorithm>
#include <cmath>

#include "base/profile.h"
#include "base/threads.h"
#include "kernels/act_quant.h"
#include "kernels/convert.h"
#include "kernels/round.h"
#include "tensor/dequantize.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr int64_t kChunk = 1296;  // rows whose codes exist at a time: two blocks of a product

bool is_int(Encoding encoding) {
  return encoding == Encoding::kInt8 || encoding == Encoding::kInt4;
}

// All values of the weight are exact in bf16 once the scales in `column_scale` are left out.
bool exact_in_bf16(const QuantizedLinear& q) {
  const Encoding weight = q.scheme.weight;
  return weight == Encoding::kFp8E4M3 || weight == Encoding::kMxFp8 || weight == Encoding::kNvFp4 ||
         (weight == Encoding::kMxFp4 && q.dual_scale.empty());
}

bool scales_per_channel(const QuantizedLinear& q) {
  return q.scale.count() == 1 || q.scale.count() == out_features(q);
}

std::vector<float> floats(const Tensor& tensor, bool round) {
  if (tensor.empty()) return {};
  const Tensor wide = to_f32(tensor);
  std::vector<float> values(wide.as<float>().begin(), wide.as<float>().end());
  if (round) round_bf16(values, values);
  return values;
}

PackedWeight pack_floats(const Tensor& weight, int64_t out, int64_t in, bool as_bf16) {
  if (!as_bf16) return pack_f32(weight.as<float>(), out, in);
  std::vector<uint16_t> bits(static_cast<size_t>(out * in));
  narrow_bf16(weight.as<float>(), bits);
  return pack_bf16(bits, out, in);
}

// The weight without the scales that the epilogue applies: codes, or codes times block scales.
Tensor unscaled(const QuantizedLinear& q) {
  QuantizedLinear copy{
      .name = q.name, .scheme = q.scheme, .weight = q.weight.clone(), .scale = q.scale.clone()};
  const bool global = q.scheme.weight == Encoding::kNvFp4;
  if (global || q.scheme.weight == Encoding::kFp8E4M3) {
    Tensor& scale = global ? copy.dual_scale : copy.scale;
    scale = Tensor(DType::kF32, {1});
    scale.as<float>()[0] = 1.0f;
  }
  return dequantize_codes(copy);
}

int highest_code(Encoding encoding) {
  return encoding == Encoding::kInt4 ? 7 : 127;
}

}  // namespace

QuantLinear::QuantLinear(const QuantizedLinear& q, Compute compute)
    : name_(q.name), compute_(compute), scheme_(q.scheme), in_(in_features(q)), out_(out_features(q)) {
  const bool round = compute == Compute::kBF16;
  bias_ = floats(q.bias, round);
  smooth_ = floats(q.smooth, round);
  hadamard_group_ = q.hadamard_group;
  const Encoding act = scheme_.activation;
  const bool executed = act == Encoding::kFloat || is_int(act) || act == Encoding::kFp8E4M3 ||
                        act == Encoding::kMxFp8 || act == Encoding::kMxFp4 || act == Encoding::kNvFp4;
  if (!executed || (act == Encoding::kNvFp4 && scheme_.weight != Encoding::kNvFp4)) {
    throw Error{
        {.what = "nothing executes this combination of weight and activation encoding", .where = name_}};
  }
  pack(q);
  if (!q.act_scale.empty()) set_up_static(q);
  if (!q.lora_down.empty()) {
    lora_down_ = pack_floats(to_f32(q.lora_down), q.lora_down.dim(0), in_, round);
    lora_up_ = pack_floats(to_f32(q.lora_up), out_, q.lora_up.dim(1), round);
  }
}

void QuantLinear::pack(const QuantizedLinear& q) {
  const Encoding act = scheme_.activation;
  if (is_int(scheme_.weight) && is_int(act) && scales_per_channel(q)) {
    product_ = Product::kInteger;
    weight_ = pack_s8(q.weight.as<int8_t>(), out_, in_);
    column_scale_ = floats(q.scale, compute_ == Compute::kBF16);
    column_scale_.resize(static_cast<size_t>(out_), column_scale_[0]);
    return;
  }
  if (act == Encoding::kFloat) {
    product_ = compute_ == Compute::kBF16 ? Product::kBF16 : Product::kF32;
    weight_ = pack_floats(dequantize_codes(q), out_, in_, product_ == Product::kBF16);
    return;
  }
  if (!exact_in_bf16(q) || is_int(act)) {
    weight_ = pack_floats(dequantize_codes(q), out_, in_, false);
    return;
  }
  product_ = Product::kBF16;
  weight_ = pack_floats(unscaled(q), out_, in_, true);
  if (scheme_.weight == Encoding::kFp8E4M3) {
    column_scale_ = floats(q.scale, false);
  } else if (scheme_.weight == Encoding::kNvFp4) {
    column_scale_ = floats(q.dual_scale, false);
  }
  if (!column_scale_.empty()) column_scale_.resize(static_cast<size_t>(out_), column_scale_[0]);
}

void QuantLinear::set_up_static(const QuantizedLinear& q) {
  act_scale_ = floats(q.act_scale, compute_ == Compute::kBF16);
  act_offset_ =
      q.act_offset.empty() ? std::vector<float>(act_scale_.size(), 0.0f) : floats(q.act_offset, false);
  if (product_ != Product::kInteger) return;
  const int32_t* start = reinterpret_cast<const int32_t*>(weight_.start.data());
  for (size_t s = 0; s < act_scale_.size(); ++s) {
    std::vector<int32_t> whole(static_cast<size_t>(out_));
    std::vector<float> scale(static_cast<size_t>(out_));
    for (size_t j = 0; j < whole.size(); ++j) {
      scale[j] = act_scale_[s] * column_scale_[j];
      const int32_t code_sum = start[j] / -128;
      const double bias = bias_.empty() || scale[j] == 0 ? 0.0 : double{bias_[j]} / double{scale[j]};
      whole[j] = static_cast<int32_t>(std::clamp(
          std::nearbyint(bias - double{act_offset_[s]} * static_cast<double>(code_sum)), -2e9, 2e9));
    }
    quant_bias_.push_back(std::move(whole));
    static_scale_.push_back(std::move(scale));
  }
}

void QuantLinear::forward(const Rows& x, const Epilogue& target, int64_t step) const {
  RowBuffer rows;
  const float whole = needs_all_rows() ? whole_scale(x, rows) : 0.0f;
  for (int64_t first = 0; first < x.count; first += kChunk) {
    const Rows chunk = x.slice(first, std::min(kChunk, x.count - first));
    Epilogue here = target;
    if (here.bf16 != nullptr) here.bf16 += first * out_;
    if (here.f32 != nullptr) here.f32 += first * out_;
    if (takes_rows_as_they_are()) {
      here.bias = bias_.empty() ? nullptr : bias_.data();
      multiply_integer(chunk, here, step);
      continue;
    }
    prepare(chunk, rows);
    if (lora_down_.empty()) {
      multiply(rows, here, step, whole);
    } else {
      forward_low_rank(chunk, rows, here, step, whole);
    }
  }
}

bool QuantLinear::takes_rows_as_they_are() const {
  return product_ == Product::kInteger && act_scale_.empty() && smooth_.empty() && hadamard_group_ == 0 &&
         lora_down_.empty();
}

bool QuantLinear::needs_all_rows() const {
  return scheme_.activation == Encoding::kNvFp4 && act_scale_.empty();
}

float QuantLinear::whole_scale(const Rows& x, RowBuffer& rows) const {
  float most = 0;
  for (int64_t first = 0; first < x.count; first += kChunk) {
    prepare(x.slice(first, std::min(kChunk, x.count - first)), rows);
    const float here = absmax({rows.f32(), static_cast<size_t>(rows.count() * in_)});
    if (!(here <= most)) most = here;
  }
  return nvfp4_global(&most, 1, 1);
}

void QuantLinear::prepare(const Rows& x, RowBuffer& rows) const {
  const Timed timed("rounding of activations");
  convert_rows(x, rows, DType::kF32);
  if (smooth_.empty() && hadamard_group_ == 0) return;
  parallel_for(x.count, 8, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const std::span<float> row(rows.f32() + r * in_, static_cast<size_t>(in_));
      for (size_t i = 0; i < smooth_.size(); ++i) row[i] *= smooth_[i];
      if (hadamard_group_ > 0) regular_hadamard(row, hadamard_group_);
      if (compute_ == Compute::kBF16) round_bf16(row, row);
    }
  });
}

void QuantLinear::multiply(RowBuffer& rows, Epilogue epilogue, int64_t step, float whole) const {
  epilogue.bias = bias_.empty() ? nullptr : bias_.data();
  if (product_ == Product::kInteger) return multiply_integer(rows.view(), epilogue, step);
  std::vector<float> scales;
  round_activation(rows, whole, scales);
  const std::vector<float> ones(scales.empty() ? 0 : static_cast<size_t>(out_), 1.0f);
  if (!scales.empty()) {
    epilogue.row_scale = scales.data();
    epilogue.column_scale = ones.data();
  }
  if (!column_scale_.empty()) epilogue.column_scale = column_scale_.data();
  if (product_ == Product::kF32) return gemm_f32(rows.f32(), rows.count(), weight_, epilogue);
  RowBuffer narrow;
  convert_rows(rows, narrow, DType::kBF16);
  gemm_bf16(narrow.bf16(), rows.count(), weight_, epilogue);
}

void QuantLinear::quantize(const Rows& rows, int8_t* codes, float* scales) const {
  const Timed timed("rounding of activations");
  const int highest = highest_code(scheme_.activation);
  if (rows.dtype == DType::kBF16)
    return quantize_tokens(rows.bf16(), rows.count, in_, highest, codes, scales);
  quantize_tokens(rows.f32(), rows.count, in_, highest, codes, scales);
}

void QuantLinear::multiply_integer(const Rows& rows, Epilogue epilogue, int64_t step) const {
  const int64_t count = rows.count;
  Buffer codes(static_cast<size_t>(count * in_));
  int8_t* code = reinterpret_cast<int8_t*>(codes.data());
  std::vector<float> scales(static_cast<size_t>(count), 1.0f);
  epilogue.row_scale = scales.data();
  if (act_scale_.empty()) {
    quantize(rows, code, scales.data());
    epilogue.column_scale = column_scale_.data();
  } else {
    const size_t at = act_scale_.size() == 1 ? 0 : static_cast<size_t>(step);
    if (at >= act_scale_.size()) {
      throw Error{{.what = "has input scales for " + std::to_string(act_scale_.size()) +
                           " sampling steps, not for step " + std::to_string(step),
                   .where = name_}};
    }
    quantize_static(rows.f32(), count, in_, act_scale_[at], act_offset_[at], code);
    epilogue.bias = nullptr;  // within the integer offset
    epilogue.column_offset = quant_bias_[at].data();
    epilogue.column_scale = static_scale_[at].data();
  }
  gemm_s8(code, count, weight_, epilogue);
}

void QuantLinear::round_activation(RowBuffer& rows, float whole, std::vector<float>& scales) const {
  const Timed timed("rounding of activations");
  float* x = rows.f32();
  const int64_t count = rows.count();
  const auto all = [&](float value) { scales.assign(static_cast<size_t>(count), value); };
  switch (scheme_.activation) {
    case Encoding::kInt8:
    case Encoding::kInt4: {
      all(0);
      Buffer codes(static_cast<size_t>(count * in_));
      int8_t* code = reinterpret_cast<int8_t*>(codes.data());
      quantize_tokens(x, count, in_, highest_code(scheme_.activation), code, scales.data());
      std::copy_n(code, count * in_, x);
      return;
    }
    case Encoding::kFp8E4M3:
      if (scheme_.activation_granularity == Granularity::kTensor) {
        all(act_scale_.empty() ? 1.0f
                               : act_scale_[0]);  // without a scale: a saturating cast, as ComfyUI does
        return round_fp8(x, count, in_, scales[0]);
      }
      all(0);
      return round_fp8_tokens(x, count, in_, scales.data());
    case Encoding::kMxFp8:
      return round_mx(x, count, in_, MxElement::kE4M3);
    case Encoding::kMxFp4:
      return round_mx(x, count, in_, MxElement::kE2M1);
    case Encoding::kNvFp4:
      all(act_scale_.empty() ? whole : act_scale_[0]);
      return round_nvfp4(x, count, in_, scales[0]);
    default:
      return;
  }
}

// Both products as float sums, then what the epilogue would have done. down * x is in the dtype of the
// compute mode.
void QuantLinear::forward_low_rank(const Rows& x, RowBuffer& rows, const Epilogue& target, int64_t step,
                                   float whole) const {
  RowBuffer low(dtype_of(compute_), x.count, lora_down_.n), sums(DType::kF32, x.count, out_);
  multiply(rows, {.f32 = sums.f32()}, step, whole);
  if (compute_ == Compute::kF32) {
    gemm_f32(x.f32(), x.count, lora_down_, {.f32 = low.f32()});
    gemm_f32(low.f32(), x.count, lora_up_, {.f32 = sums.f32(), .add = true});
  } else {
    gemm_bf16(x.bf16(), x.count, lora_down_, {.round = true, .bf16 = low.bf16()});
    gemm_bf16(low.bf16(), x.count, lora_up_, {.f32 = sums.f32(), .add = true});
  }
  parallel_for(x.count, 16, [&](int64_t begin, int64_t end) {
    const std::span<float> values(sums.f32() + begin * out_, static_cast<size_t>((end - begin) * out_));
    if (target.round) round_bf16(values, values);
    activate(target.activation, target.round, values);
    for (int64_t i = begin * out_; i < end * out_; ++i) {
      const float y = sums.f32()[i], part = target.gate != nullptr ? y * target.gate[i % out_] : y;
      if (target.bf16 != nullptr) {
        target.bf16[i] = float_to_bf16(y);
      } else {
        target.f32[i] = target.add ? target.f32[i] + part : part;
      }
    }
  });
}

size_t QuantLinear::bytes() const {
  return weight_.bytes() + lora_down_.bytes() + lora_up_.bytes() +
         (column_scale_.size() + bias_.size() + smooth_.size()) * sizeof(float);
}

}  // namespace wanslim
