// SPDX-License-Identifier: Apache-2.0
#include "kernels/reference_conv.h"

#include <algorithm>
#include <cmath>

namespace wanslim::reference {

std::vector<float> conv(const ConvSpec& spec, std::span<const float> weight, std::span<const float> bias,
                        std::span<const std::vector<float>> inputs, int64_t height, int64_t width) {
  const int64_t scale = spec.upsample ? 2 : 1, high = height * scale, wide = width * scale;
  const int64_t out_height = (high + spec.pad_before + spec.pad_after - spec.height) / spec.stride + 1;
  const int64_t out_width = (wide + spec.pad_before + spec.pad_after - spec.width) / spec.stride + 1;
  std::vector<float> out;
  for (int64_t pixel = 0; pixel < out_height * out_width; ++pixel) {
    for (int64_t o = 0; o < spec.out; ++o) {
      double sum = bias.empty() ? 0 : bias[static_cast<size_t>(o)];
      for (int64_t tap = 0; tap < spec.frames * spec.height * spec.width; ++tap) {
        const int64_t frame = tap / (spec.height * spec.width), row = tap / spec.width % spec.height;
        const int64_t y = pixel / out_width * spec.stride + row - spec.pad_before;
        const int64_t x = pixel % out_width * spec.stride + tap % spec.width - spec.pad_before;
        const std::vector<float>& input = inputs[static_cast<size_t>(frame)];
        if (input.empty() || y < 0 || y >= high || x < 0 || x >= wide) continue;
        for (int64_t i = 0; i < spec.in; ++i) {
          const int64_t at = (o * spec.in + i) * spec.frames * spec.height * spec.width + tap;
          sum += static_cast<double>(weight[static_cast<size_t>(at)]) *
                 input[static_cast<size_t>((y / scale * width + x / scale) * spec.in + i)];
        }
      }
      out.push_back(static_cast<float>(sum));
    }
  }
  return out;
}

std::vector<float> channel_norm_silu(std::span<const float> values, std::span<const float> gamma, bool silu) {
  const size_t channels = gamma.size();
  std::vector<float> out(values.size());
  for (size_t begin = 0; begin < values.size(); begin += channels) {
    double squares = 0;
    for (size_t i = 0; i < channels; ++i)
      squares += static_cast<double>(values[begin + i]) * values[begin + i];
    const double scale = std::sqrt(static_cast<double>(channels)) / std::max(std::sqrt(squares), 1e-12);
    for (size_t i = 0; i < channels; ++i) {
      const double y = values[begin + i] * scale * gamma[i];
      out[begin + i] = static_cast<float>(silu ? y / (1 + std::exp(-y)) : y);
    }
  }
  return out;
}

}  // namespace wanslim::reference
