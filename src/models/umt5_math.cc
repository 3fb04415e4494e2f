// SPDX-License-Identifier: Apache-2.0
#include "models/umt5_math.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/portable_math.h"
#include "base/profile.h"
#include "base/threads.h"
#include "kernels/activation.h"
#include "kernels/convert.h"
#include "kernels/gemm.h"
#include "kernels/softmax.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr int64_t kGrain = 1 << 16;

float portable_tanh(float x) {
  const double e = portable_expm1(2.0 * std::clamp(x, -30.0f, 30.0f));
  return static_cast<float>(e / (e + 2.0));
}

// All 65,536 results of the bf16 GELU, so that no machine's tanh has a say.
const std::vector<uint16_t>& gelu_table() {
  static const std::vector<uint16_t> table = [] {
    std::vector<uint16_t> out(65536);
    for (uint32_t bits = 0; bits < 65536; ++bits) {
      const float x = bf16_to_float(static_cast<uint16_t>(bits));
      const float half = round_bf16(0.5f * x);
      const float cube = round_bf16(static_cast<float>(double{x} * double{x} * double{x}));
      const float inner = round_bf16(x + round_bf16(0.044715f * cube));
      const float bent = round_bf16(portable_tanh(round_bf16(0.7978845608028654f * inner)));
      out[bits] = std::isnan(x) ? static_cast<uint16_t>(bits) : float_to_bf16(half * round_bf16(1.0f + bent));
    }
    return out;
  }();
  return table;
}

// Columns [first, first + width) of every row, dense; transposed: one row per column.
template <class T>
std::vector<T> cut_columns(const T* rows, int64_t count, int64_t stride, int64_t first, int64_t width,
                           bool transposed) {
  std::vector<T> out(static_cast<size_t>(count * width));
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t c = 0; c < width; ++c) {
      out[static_cast<size_t>(transposed ? c * count + i : i * width + c)] = rows[i * stride + first + c];
    }
  }
  return out;
}

struct HeadShape {
  int64_t tokens = 0, stride = 0, first = 0, width = 0;
};

void attend_head_f32(const float* q, const float* k, const float* v, const HeadShape& s, const float* bias,
                     float* out) {
  const std::vector<float> queries = cut_columns(q, s.tokens, s.stride, s.first, s.width, false);
  const PackedWeight keys =
      pack_f32(cut_columns(k, s.tokens, s.stride, s.first, s.width, false), s.tokens, s.width);
  const PackedWeight values =
      pack_f32(cut_columns(v, s.tokens, s.stride, s.first, s.width, true), s.width, s.tokens);
  std::vector<float> scores(static_cast<size_t>(s.tokens * s.tokens));
  gemm_f32(queries.data(), s.tokens, keys, {.f32 = scores.data()});
  softmax_rows(scores.data(), s.tokens, s.tokens, bias + s.tokens - 1, -1, false);
  gemm_f32(scores.data(), s.tokens, values, {.f32 = out + s.first, .stride = s.stride});
}

void attend_head_bf16(const uint16_t* q, const uint16_t* k, const uint16_t* v, const HeadShape& s,
                      const float* bias, uint16_t* out) {
  const std::vector<uint16_t> queries = cut_columns(q, s.tokens, s.stride, s.first, s.width, false);
  const PackedWeight keys =
      pack_bf16(cut_columns(k, s.tokens, s.stride, s.first, s.width, false), s.tokens, s.width);
  const PackedWeight values =
      pack_bf16(cut_columns(v, s.tokens, s.stride, s.first, s.width, true), s.width, s.tokens);
  std::vector<float> scores(static_cast<size_t>(s.tokens * s.tokens));
  gemm_bf16(queries.data(), s.tokens, keys, {.round = true, .f32 = scores.data()});
  softmax_rows(scores.data(), s.tokens, s.tokens, bias + s.tokens - 1, -1, true);
  std::vector<uint16_t> shares(scores.size());
  narrow_bf16(scores, shares);
  gemm_bf16(shares.data(), s.tokens, values, {.round = true, .bf16 = out + s.first, .stride = s.stride});
}

}  // namespace

void umt5_add(RowBuffer& x, const Rows& y) {
  const Timed timed("text encoder, gates and sums");
  const int64_t count = x.count() * x.width();
  CHECK(y.dtype == x.dtype() && y.count * y.width == count);
  parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    if (x.dtype() == DType::kF32) {
      for (int64_t i = begin; i < end; ++i) x.f32()[i] += y.f32()[i];
    } else {
      for (int64_t i = begin; i < end; ++i)
        x.bf16()[i] = float_to_bf16(bf16_to_float(x.bf16()[i]) + bf16_to_float(y.bf16()[i]));
    }
  });
}

void umt5_gate(RowBuffer& y, const Rows& gate) {
  const Timed timed("text encoder, gates and sums");
  const int64_t count = y.count() * y.width();
  CHECK(gate.dtype == y.dtype() && gate.count * gate.width == count);
  parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    if (y.dtype() == DType::kF32) {
      std::vector<float> bent(gate.f32() + begin, gate.f32() + end);
      activate(Activation::kGeluTanh, false, bent);
      for (int64_t i = begin; i < end; ++i) y.f32()[i] *= bent[static_cast<size_t>(i - begin)];
    } else {
      const uint16_t* table = gelu_table().data();
      for (int64_t i = begin; i < end; ++i)
        y.bf16()[i] = float_to_bf16(bf16_to_float(y.bf16()[i]) * bf16_to_float(table[gate.bf16()[i]]));
    }
  });
}

void umt5_attention(const Rows& q, const Rows& k, const Rows& v, int64_t heads, std::span<const float> bias,
                    RowBuffer& out, int64_t first) {
  const Timed timed("attention", 4.0 * static_cast<double>(q.count * q.count) * static_cast<double>(q.width));
  const int64_t width = q.width / heads, span = 2 * q.count - 1;
  CHECK(k.count == q.count && v.count == q.count && out.width() == q.width);
  CHECK(static_cast<int64_t>(bias.size()) == heads * span);
  parallel_for(heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t head = begin; head < end; ++head) {
      const HeadShape shape{q.count, q.width, head * width, width};
      const float* own_bias = bias.data() + head * span;
      if (q.dtype == DType::kF32) {
        attend_head_f32(q.f32(), k.f32(), v.f32(), shape, own_bias, out.f32() + first * q.width);
      } else {
        attend_head_bf16(q.bf16(), k.bf16(), v.bf16(), shape, own_bias, out.bf16() + first * q.width);
      }
    }
  });
}

int64_t first_row_not_finite(const Rows& x) {
  for (int64_t i = 0; i < x.count * x.width; ++i) {
    const float value = x.dtype == DType::kF32 ? x.f32()[i] : bf16_to_float(x.bf16()[i]);
    if (!std::isfinite(value)) return i / x.width;
  }
  return -1;
}

}  // namespace wanslim
