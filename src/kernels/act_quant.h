// SPDX-License-Identifier: Apache-2.0
// Rounding activations as quantized runtimes do before a matrix product. Rows are dense float [rows, width]
// (in the bf16 mode of a run already bf16 values); all sizes and dtypes are checked by the caller. A row with
// NaN or infinity gets the scale NaN and zero codes, so that its products are NaN.
#pragma once
#include <cstdint>

#include "kernels/round.h"

namespace wanslim {

// Per token, symmetric: scale = absmax / highest, code = clamp(rne(x / scale)). A zero row has scale 0.
// `highest` 127 for int8, 7 for int4. Spec formats B4, W8A8_DYNAMIC.
void quantize_tokens(const float* x, int64_t rows, int64_t width, int highest, int8_t* codes, float* scales);
// The same of bf16 values.
void quantize_tokens(const uint16_t* x, int64_t rows, int64_t width, int highest, int8_t* codes,
                     float* scales);

// With a given scale: code = clamp(rne(x / scale) + offset) to [-128, 127].
void quantize_static(const float* x, int64_t rows, int64_t width, float scale, float offset, int8_t* codes);

// The following leave values of few bits, all exact in bf16, in place of x.
// FP8 E4M3 per token: x = e4m3(x / scale), scale = max(absmax, 1e-12) / 448.
void round_fp8_tokens(float* x, int64_t rows, int64_t width, float* scales);
// FP8 E4M3 with one given scale, saturating.
void round_fp8(float* x, int64_t rows, int64_t width, float scale);

// Blocks of 32 with a shared power of two 2^(floor(log2 absmax) - emax), elements E4M3 (emax 8) or E2M1 (emax
// 2) rounded to nearest even and saturating: OCP Microscaling Formats 1.0. The last block of a row may be
// shorter.
enum class MxElement : uint8_t { kE4M3, kE2M1 };
void round_mx(float* x, int64_t rows, int64_t width, MxElement element);

// NVFP4: blocks of 16, scale e4m3(absmax / 6 / global), elements E2M1; leaves element * scale without
// `global`.
void round_nvfp4(float* x, int64_t rows, int64_t width, float global);
// global = absmax / (6 * 448), or 1 for all zeros.
float nvfp4_global(const float* x, int64_t rows, int64_t width);

}  // namespace wanslim
