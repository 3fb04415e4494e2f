// SPDX-License-Identifier: Apache-2.0
#include "tensor/quantized.h"

#include <utility>

#include "tensor/ggml_blocks.h"

namespace wanslim {
namespace {

struct TypeRow {
  Encoding weight;
  Granularity weight_granularity;
  Encoding activation;
  Granularity activation_granularity;
  const char* type;
};

// Spec: msModelSlim 26.1 section 5.1 and MindIE-SD's QuantAlgorithm enum.
constexpr TypeRow kTypes[] = {
    {Encoding::kInt8, Granularity::kChannel, Encoding::kInt8, Granularity::kToken, "W8A8_DYNAMIC"},
    {Encoding::kInt8, Granularity::kGroup, Encoding::kInt8, Granularity::kToken, "W8A8_DYNAMIC"},
    {Encoding::kInt8, Granularity::kChannel, Encoding::kInt8, Granularity::kTensor, "W8A8"},
    {Encoding::kInt8, Granularity::kChannel, Encoding::kFloat, Granularity::kTensor, "W8A16"},
    {Encoding::kInt8, Granularity::kGroup, Encoding::kFloat, Granularity::kTensor, "W8A16"},
    {Encoding::kInt4, Granularity::kChannel, Encoding::kFloat, Granularity::kTensor, "W4A16"},
    {Encoding::kInt4, Granularity::kGroup, Encoding::kFloat, Granularity::kTensor, "W4A16"},
    {Encoding::kInt4, Granularity::kChannel, Encoding::kInt8, Granularity::kToken, "W4A8_DYNAMIC"},
    {Encoding::kInt4, Granularity::kChannel, Encoding::kInt4, Granularity::kToken, "W4A4_DYNAMIC"},
    {Encoding::kInt4, Granularity::kGroup, Encoding::kInt4, Granularity::kToken, "W4A4_DYNAMIC"},
    {Encoding::kFp8E4M3, Granularity::kChannel, Encoding::kFp8E4M3, Granularity::kToken, "WFP8AFP8_DYNAMIC"},
    {Encoding::kMxFp8, Granularity::kBlock, Encoding::kMxFp8, Granularity::kBlock, "W8A8_MXFP8"},
    {Encoding::kMxFp4, Granularity::kBlock, Encoding::kMxFp8, Granularity::kBlock, "W4A8_MXFP"},
    {Encoding::kMxFp4, Granularity::kBlock, Encoding::kMxFp4, Granularity::kBlock, "W4A4_MXFP4"},
    {Encoding::kMxFp4, Granularity::kDual, Encoding::kMxFp4, Granularity::kDual, "W4A4_MXFP4_DUALSCALE"},
};

int64_t weight_bytes(Encoding encoding, int64_t count) {
  if (const GgmlBlock block = ggml_block(encoding); block.elements > 0) {
    return count / block.elements * block.bytes;
  }
  switch (encoding) {
    case Encoding::kMxFp4:
    case Encoding::kNvFp4:
      return count / 2;
    case Encoding::kFloat:
      return count * 2;
    default:
      return count;
  }
}

bool is_f32(const Tensor& tensor, const Shape& shape) {
  return tensor.dtype() == DType::kF32 && tensor.shape() == shape;
}

// dtype of the codes, and how many columns hold `in` of them.
struct WeightRow {
  DType dtype = DType::kI8;
  int64_t columns = 0;
};

WeightRow weight_row(Encoding encoding, int64_t in) {
  switch (encoding) {
    case Encoding::kInt8:
    case Encoding::kInt4:
      return {DType::kI8, in};
    case Encoding::kFp8E4M3:
    case Encoding::kMxFp8:
      return {DType::kF8E4M3, in};
    default:
      return {DType::kU8, weight_bytes(encoding, in)};
  }
}

// dtype and shape of the scales; kBool if there are none.
std::pair<DType, Shape> scale_row(const QuantScheme& s, int64_t out, int64_t in) {
  switch (s.weight) {
    case Encoding::kInt8:
    case Encoding::kInt4:
    case Encoding::kFp8E4M3:
      if (s.weight_granularity == Granularity::kTensor) return {DType::kF32, {1}};
      return {DType::kF32, {out, s.weight_granularity == Granularity::kGroup ? in / s.group : 1}};
    case Encoding::kMxFp8:
    case Encoding::kMxFp4:
      return {DType::kU8, {out, in / 32}};
    case Encoding::kNvFp4:
      return {DType::kF8E4M3, {out, in / 16}};
    default:
      return {DType::kBool, {}};
  }
}

}  // namespace

bool is_consistent(const QuantizedLinear& q, std::string* why) {
  const auto refuse = [&](const std::string& reason) {
    if (why) *why = reason;
    return false;
  };
  if (q.weight.empty() || q.weight.shape().size() != 2 || q.weight.count() == 0)
    return refuse("the weight is no matrix");
  const int64_t out = q.weight.dim(0);
  const GgmlBlock block = ggml_block(q.scheme.weight);
  int64_t in = q.weight.dim(1);
  if (block.elements > 0) {
    if (in % block.bytes != 0) return refuse("the rows of the weight are no whole blocks");
    in = in / block.bytes * block.elements;
  } else if (q.weight.dtype() == DType::kU8) {
    in *= 2;
  }
  if (q.scheme.weight_granularity == Granularity::kGroup && q.scheme.group <= 0)
    return refuse("the size of the groups is missing");
  if (q.scheme.group > 0 && in % q.scheme.group != 0)
    return refuse("the inputs do not divide into groups of " + std::to_string(q.scheme.group));
  const WeightRow weight = weight_row(q.scheme.weight, in);
  if (q.weight.dtype() != weight.dtype || q.weight.dim(1) != weight.columns)
    return refuse("the weight is " + std::string(name_of(q.weight.dtype())) + " " +
                  to_string(q.weight.shape()));
  const auto [dtype, shape] = scale_row(q.scheme, out, in);
  if (dtype != DType::kBool && (q.scale.empty() || q.scale.dtype() != dtype || q.scale.shape() != shape)) {
    return refuse("the scale is " + (q.scale.empty() ? "missing" : to_string(q.scale.shape())) +
                  ", expected " + std::string(name_of(dtype)) + " " + to_string(shape));
  }
  if (q.scheme.weight == Encoding::kNvFp4 && (q.dual_scale.empty() || !is_f32(q.dual_scale, {1})))
    return refuse("the global scale is not F32 [1]");
  if (q.scheme.weight_granularity == Granularity::kDual &&
      (in % 512 != 0 || q.dual_scale.empty() || !is_f32(q.dual_scale, {out, in / 512})))
    return refuse("the dual scale is not F32 [out, in / 512]");
  if (!q.smooth.empty() && (!info(q.smooth.dtype()).is_float || q.smooth.shape() != Shape{in}))
    return refuse("the smoothing vector is not [in]");
  if (!q.bias.empty() && (!info(q.bias.dtype()).is_float || q.bias.shape() != Shape{out}))
    return refuse("the bias is not [out]");
  if (q.lora_up.empty() != q.lora_down.empty()) return refuse("one half of the low-rank pair is missing");
  if (!q.lora_up.empty() && (q.lora_up.shape() != Shape{out, q.lora_down.dim(0)} ||
                             q.lora_down.shape() != Shape{q.lora_down.dim(0), in}))
    return refuse("the low-rank pair does not fit the weight");
  return true;
}

std::string ascend_type(const QuantScheme& s) {
  for (const TypeRow& row : kTypes) {
    if (row.weight == s.weight && row.weight_granularity == s.weight_granularity &&
        row.activation == s.activation && row.activation_granularity == s.activation_granularity) {
      return row.type;
    }
  }
  return "";
}

int64_t quantized_bytes(const QuantScheme& s, int64_t out, int64_t in) {
  int64_t scales = 0;
  switch (s.weight) {
    case Encoding::kInt8:
    case Encoding::kInt4:
    case Encoding::kFp8E4M3:
      scales = 4 * (s.weight_granularity == Granularity::kTensor  ? 1
                    : s.weight_granularity == Granularity::kGroup ? out * (in / s.group)
                                                                  : out);
      break;
    case Encoding::kMxFp8:
    case Encoding::kMxFp4:
      scales = out * (in / 32) + (s.weight_granularity == Granularity::kDual ? 4 * out * (in / 512) : 0);
      break;
    case Encoding::kNvFp4:
      scales = out * (in / 16) + 4;
      break;
    default:
      break;
  }
  return weight_bytes(s.weight, out * in) + scales;
}

}  // namespace wanslim
