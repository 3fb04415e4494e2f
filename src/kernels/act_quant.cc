// SPDX-License-Identifier: Apache-2.0
#include "kernels/act_quant.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/threads.h"
#include "kernels/convert.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr int64_t kRowsPerTask = 8;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

template <class Body>
void each_row(int64_t rows, const Body& body) {
  parallel_for(rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) body(r);
  });
}

std::span<const float> row_of(const float* x, int64_t row, int64_t width) {
  return {x + row * width, static_cast<size_t>(width)};
}

// The scale of the row.
float quantize_token(std::span<const float> row, int highest, std::span<int8_t> codes) {
  const float most = absmax(row);
  const float scale = std::isfinite(most) ? most / static_cast<float>(highest) : kNan;
  if (scale > 0) {
    quantize_row(row, scale, {-highest - 1, highest}, codes);
  } else {
    std::fill(codes.begin(), codes.end(), int8_t{0});
  }
  return scale;
}

float round_e4m3(float value) {
  return e4m3_to_float(float_to_e4m3(std::clamp(value, -448.0f, 448.0f)));
}

// Nearest of 0, .5, 1, 1.5, 2, 3, 4, 6, ties to the even mantissa.
float round_e2m1(float value) {
  const float size = std::min(std::abs(value), 6.0f);
  const float step = size < 2 ? 0.5f : size < 4 ? 1.0f : 2.0f;
  return std::copysign(std::nearbyint(size / step) * step, value);
}

void round_mx_block(float* x, int64_t count, MxElement element) {
  float most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::max(most, std::abs(x[i]));
  if (most == 0) return;
  const int emax = element == MxElement::kE4M3 ? 8 : 2;
  const int exponent = std::clamp(std::ilogb(most) - emax, -127, 127);
  for (int64_t i = 0; i < count; ++i) {
    const float y = std::ldexp(x[i], -exponent);
    x[i] = std::ldexp(element == MxElement::kE4M3 ? round_e4m3(y) : round_e2m1(y), exponent);
  }
}

}  // namespace

void quantize_tokens(const float* x, int64_t rows, int64_t width, int highest, int8_t* codes, float* scales) {
  each_row(rows, [&](int64_t r) {
    scales[r] = quantize_token(row_of(x, r, width), highest, {codes + r * width, static_cast<size_t>(width)});
  });
}

void quantize_tokens(const uint16_t* x, int64_t rows, int64_t width, int highest, int8_t* codes,
                     float* scales) {
  each_row(rows, [&](int64_t r) {
    thread_local std::vector<float> row;  // stays in the first cache
    row.resize(static_cast<size_t>(width));
    widen_bf16({x + r * width, row.size()}, row);
    scales[r] = quantize_token(row, highest, {codes + r * width, row.size()});
  });
}

void quantize_static(const float* x, int64_t rows, int64_t width, float scale, float offset, int8_t* codes) {
  each_row(rows, [&](int64_t r) {
    for (int64_t i = r * width; i < (r + 1) * width; ++i) {
      const float code = std::clamp(std::nearbyint(x[i] / scale) + offset, -128.0f, 127.0f);
      codes[i] = static_cast<int8_t>(std::isnan(code) ? 0.0f : code);
    }
  });
}

void round_fp8_tokens(float* x, int64_t rows, int64_t width, float* scales) {
  each_row(rows, [&](int64_t r) {
    const float most = absmax(row_of(x, r, width));
    scales[r] = std::isfinite(most) ? std::max(most, 1e-12f) / 448.0f : kNan;
    for (int64_t i = r * width; i < (r + 1) * width; ++i) x[i] = round_e4m3(x[i] / scales[r]);
  });
}

void round_fp8(float* x, int64_t rows, int64_t width, float scale) {
  each_row(rows, [&](int64_t r) {
    for (int64_t i = r * width; i < (r + 1) * width; ++i) x[i] = round_e4m3(x[i] / scale);
  });
}

void round_mx(float* x, int64_t rows, int64_t width, MxElement element) {
  constexpr int64_t kBlock = 32;
  each_row(rows, [&](int64_t r) {
    if (!std::isfinite(absmax(row_of(x, r, width)))) {
      return std::fill(x + r * width, x + (r + 1) * width, kNan);
    }
    for (int64_t i = 0; i < width; i += kBlock) {
      round_mx_block(x + r * width + i, std::min(kBlock, width - i), element);
    }
  });
}

void round_nvfp4(float* x, int64_t rows, int64_t width, float global) {
  constexpr int64_t kBlock = 16;
  each_row(rows, [&](int64_t r) {
    for (int64_t begin = r * width; begin < (r + 1) * width; begin += kBlock) {
      const int64_t count = std::min(kBlock, (r + 1) * width - begin);
      const float scale = round_e4m3(absmax({x + begin, static_cast<size_t>(count)}) / 6.0f / global);
      for (int64_t i = begin; i < begin + count; ++i) {
        x[i] = scale == 0 ? 0.0f : round_e2m1(x[i] / (scale * global)) * scale;
      }
    }
  });
}

float nvfp4_global(const float* x, int64_t rows, int64_t width) {
  float most = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const float here = absmax(row_of(x, r, width));
    if (!(here <= most)) most = here;
  }
  return most == 0 ? 1.0f : most / (6.0f * 448.0f);
}

}  // namespace wanslim
