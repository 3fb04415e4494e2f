// SPDX-License-Identifier: Apache-2.0
// Activation functions over spans. GELU tanh: Hendrycks and Gimpel, arXiv 1606.08415, the tanh form; GELU erf
// its exact form; SiLU x * sigmoid(x).
#pragma once
#include <cstdint>
#include <span>

namespace wanslim {

enum class Activation : uint8_t { kNone, kGeluTanh, kGeluErf, kSilu };

// In place. With `round` each result becomes the nearest bf16 value.
void activate(Activation activation, bool round, std::span<float> values);

}  // namespace wanslim
