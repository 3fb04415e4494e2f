// SPDX-License-Identifier: Apache-2.0
// Plain-loop twins of conv and channel_norm, in double: what the fast ones are tested against.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/conv.h"

namespace wanslim::reference {

// One output frame of Conv::run without `add`; inputs are float frames [height, width, in], empty for zeros.
std::vector<float> conv(const ConvSpec& spec, std::span<const float> weight, std::span<const float> bias,
                        std::span<const std::vector<float>> inputs, int64_t height, int64_t width);

// channel_norm_silu on floats.
std::vector<float> channel_norm_silu(std::span<const float> values, std::span<const float> gamma, bool silu);

}  // namespace wanslim::reference
