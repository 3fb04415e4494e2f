// SPDX-License-Identifier: Apache-2.0
// Classifier-free guidance: v = uncond + scale * (cond - uncond), each operation rounded to float as in the
// official pipelines. Source: Ho and Salimans 2022 (arXiv 2207.12598); spec wan-forward A7.
#pragma once
#include <span>

namespace wanslim {

// All spans have the same size; `out` may be one of the inputs.
void guide(std::span<const float> cond, std::span<const float> uncond, float scale, std::span<float> out);

}  // namespace wanslim
