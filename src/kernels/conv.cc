// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv.h"

#include <algorithm>

#include "base/error.h"
#include "base/profile.h"
#include "base/threads.h"
#include "kernels/scratch.h"
#include "kernels/winograd.h"

namespace wanslim {
namespace {

// Output pixels (or Winograd tiles) of a task: enough to reuse a panel of weights from the cache.
constexpr int64_t kPixels = 64;
constexpr int64_t kTiles = 48;

bool fits_winograd(const ConvSpec& s) {
  return s.height == 3 && s.width == 3 && s.stride == 1 && s.pad_before == 1 && s.pad_after == 1 &&
         !s.upsample && s.in % 16 == 0 && s.out % 16 == 0;
}

int64_t leading_nulls(std::span<const void* const> inputs) {
  int64_t count = 0;
  while (inputs[static_cast<size_t>(count)] == nullptr) ++count;
  return count;
}

}  // namespace

// One output frame to compute.
struct Conv::Frame {
  std::span<const void* const> inputs;  // spec.frames
  int64_t height = 0, width = 0;        // of an input frame
  float* out = nullptr;
  const float* add = nullptr;
};

Conv::Conv(const ConvSpec& spec, std::span<const float> weight, std::span<const float> bias) : spec_(spec) {
  const int64_t taps = spec.frames * spec.height * spec.width;
  CHECK(static_cast<int64_t>(weight.size()) == spec.out * spec.in * taps);
  CHECK(bias.empty() || static_cast<int64_t>(bias.size()) == spec.out);
  if (spec.bf16 && conv_micro_bf16() != nullptr && spec.in % 2 == 0) dtype_ = DType::kBF16;
  bias_.assign(static_cast<size_t>(spec.out), 0.0f);
  std::copy(bias.begin(), bias.end(), bias_.begin());
  zeros_.assign(static_cast<size_t>(spec.in), 0.0f);
  winograd_ = fits_winograd(spec);
  if (winograd_) {
    pack_winograd(weight);
  } else if (spec.upsample) {
    pack_upsample(weight);
  } else {
    pack_plain(weight);
  }
}

int64_t Conv::out_height(int64_t height) const {
  if (spec_.upsample) return 2 * height;
  return (height + spec_.pad_before + spec_.pad_after - spec_.height) / spec_.stride + 1;
}
int64_t Conv::out_width(int64_t width) const {
  if (spec_.upsample) return 2 * width;
  return (width + spec_.pad_before + spec_.pad_after - spec_.width) / spec_.stride + 1;
}

size_t Conv::bytes() const {
  size_t sum = 0;
  for (const Part& part : parts_) sum += part.weights.bytes();
  return sum;
}

void Conv::pack_plain(std::span<const float> weight) {
  const ConvMicro& micro = dtype_ == DType::kBF16 ? *conv_micro_bf16() : conv_micro_f32();
  const int64_t taps = spec_.frames * spec_.height * spec_.width;
  Part part;
  part.weights = MicroWeights(micro, taps, spec_.in, spec_.out);
  for (int64_t y = 0; y < spec_.height; ++y) {
    for (int64_t x = 0; x < spec_.width; ++x) {
      part.dy.push_back(y - spec_.pad_before);
      part.dx.push_back(x - spec_.pad_before);
    }
  }
  parallel_for(spec_.out, 16, [&](int64_t begin, int64_t end) {
    std::vector<float> channels(static_cast<size_t>(spec_.in));
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        for (int64_t i = 0; i < spec_.in; ++i)
          channels[static_cast<size_t>(i)] = weight[static_cast<size_t>((o * spec_.in + i) * taps + tap)];
        part.weights.set(o, tap, channels);
      }
    }
  });
  parts_.push_back(std::move(part));
}

// After doubling, the 3 kernel rows above an output fall on 2 input rows: those of even outputs on the rows y
// - 1 (row 0 of the kernel) and y (rows 1 + 2), of odd ones on y (rows 0 + 1) and y + 1 (row 2); columns
// likewise.
void Conv::pack_upsample(std::span<const float> weight) {
  CHECK(spec_.frames == 1 && spec_.height == 3 && spec_.width == 3 && spec_.stride == 1);
  const ConvMicro& micro = dtype_ == DType::kBF16 ? *conv_micro_bf16() : conv_micro_f32();
  static constexpr int kFirst[2][2] = {{0, 1}, {0, 2}},
                       kLast[2][2] = {{0, 2}, {1, 2}};  // [odd][tap]: kernel rows
  for (int64_t place = 0; place < 4; ++place) {
    Part part;
    part.to_y = place / 2;
    part.to_x = place % 2;
    part.weights = MicroWeights(micro, 4, spec_.in, spec_.out);
    for (int64_t tap = 0; tap < 4; ++tap) {
      part.dy.push_back(tap / 2 - 1 + part.to_y);
      part.dx.push_back(tap % 2 - 1 + part.to_x);
    }
    parallel_for(spec_.out, 16, [&](int64_t begin, int64_t end) {
      std::vector<float> channels(static_cast<size_t>(spec_.in));
      for (int64_t o = begin; o < end; ++o) {
        for (int64_t tap = 0; tap < 4; ++tap) {
          for (int64_t i = 0; i < spec_.in; ++i) {
            double sum = 0;
            for (int y = kFirst[part.to_y][tap / 2]; y <= kLast[part.to_y][tap / 2]; ++y) {
              for (int x = kFirst[part.to_x][tap % 2]; x <= kLast[part.to_x][tap % 2]; ++x)
                sum += weight[static_cast<size_t>((o * spec_.in + i) * 9 + y * 3 + x)];
            }
            channels[static_cast<size_t>(i)] = static_cast<float>(sum);
          }
          part.weights.set(o, tap, channels);
        }
      }
    });
    parts_.push_back(std::move(part));
  }
}

void Conv::pack_winograd(std::span<const float> weight) {
  const ConvMicro& micro = dtype_ == DType::kBF16 ? *conv_micro_bf16() : conv_micro_f32();
  parts_.resize(kWinogradPoints);
  for (Part& part : parts_) part.weights = MicroWeights(micro, spec_.frames, spec_.in, spec_.out);
  parallel_for(spec_.out, 4, [&](int64_t begin, int64_t end) {
    const size_t in = static_cast<size_t>(spec_.in);
    std::vector<float> planes(kWinogradPoints * in);
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t frame = 0; frame < spec_.frames; ++frame) {
        for (size_t i = 0; i < in; ++i) {
          float points[kWinogradPoints];
          const size_t at = (static_cast<size_t>(o) * in + i) * static_cast<size_t>(spec_.frames) + frame;
          winograd_weight(&weight[at * 9], points);
          for (size_t p = 0; p < kWinogradPoints; ++p) planes[p * in + i] = points[p];
        }
        for (size_t p = 0; p < kWinogradPoints; ++p)
          parts_[p].weights.set(o, frame, std::span(planes).subspan(p * in, in));
      }
    }
  });
}

void Conv::run(std::span<const void* const> inputs, int64_t height, int64_t width,
               std::span<float* const> outputs, std::span<const float* const> adds) const {
  // As a plain sum would take them; Winograd needs fewer.
  const double taps = static_cast<double>(spec_.in * spec_.frames * spec_.height * spec_.width);
  const Timed timed("convolution", 2 * taps * static_cast<double>(spec_.out) *
                                       static_cast<double>(out_height(height) * out_width(width)) *
                                       static_cast<double>(outputs.size()));
  CHECK(inputs.size() == outputs.size() + static_cast<size_t>(spec_.frames) - 1 && !outputs.empty());
  CHECK(adds.empty() || adds.size() == outputs.size());
  CHECK(inputs[static_cast<size_t>(spec_.frames) - 1] != nullptr);
  if (winograd_) {
    run_winograd(inputs, height, width, outputs, adds);
    return;
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Frame frame{.inputs = inputs.subspan(i, static_cast<size_t>(spec_.frames)),
                      .height = height,
                      .width = width,
                      .out = outputs[i],
                      .add = adds.empty() ? nullptr : adds[i]};
    for (const Part& part : parts_) run_plain(part, frame);
  }
}

void Conv::run_plain(const Part& part, const Frame& frame) const {
  const int64_t step = spec_.upsample ? 2 : 1;  // between the outputs of a part
  const int64_t width = out_width(frame.width), part_width = width / step;
  const int64_t pixels = out_height(frame.height) / step * part_width;
  const int64_t first = leading_nulls(frame.inputs), plane = static_cast<int64_t>(part.dy.size());
  const int64_t taps = (spec_.frames - first) * plane;
  const size_t pixel_bytes = static_cast<size_t>(spec_.in) * size_of(dtype_);
  const ConvMicro& micro = part.weights.micro();
  parallel_for(pixels, kPixels, [&](int64_t begin, int64_t end) {
    const int64_t groups = (end - begin + kMicroRows - 1) / kMicroRows;
    auto* const rows = reinterpret_cast<const void**>(
        thread_scratch(static_cast<size_t>(groups * taps * kMicroRows) * sizeof(void*)));
    float* out[kPixels];
    for (int64_t i = 0; i < groups * kMicroRows; ++i) {
      const int64_t pixel = std::min(begin + i, end - 1);  // the last group repeats the last pixel
      const int64_t y = pixel / part_width, x = pixel % part_width;
      out[i] = frame.out + ((y * step + part.to_y) * width + x * step + part.to_x) * spec_.out;
      const void** const to = rows + i / kMicroRows * taps * kMicroRows + i % kMicroRows;
      for (int64_t tap = 0; tap < taps; ++tap) {
        const auto* const input =
            static_cast<const std::byte*>(frame.inputs[static_cast<size_t>(first + tap / plane)]);
        const int64_t in_y = y * spec_.stride + part.dy[static_cast<size_t>(tap % plane)];
        const int64_t in_x = x * spec_.stride + part.dx[static_cast<size_t>(tap % plane)];
        const bool inside = in_y >= 0 && in_y < frame.height && in_x >= 0 && in_x < frame.width;
        to[tap * kMicroRows] = inside
                                   ? static_cast<const void*>(
                                         input + static_cast<size_t>(in_y * frame.width + in_x) * pixel_bytes)
                                   : zeros_.data();
      }
    }
    for (int64_t panel = 0; panel < part.weights.panels(); ++panel) {
      const int64_t column = panel * part.weights.panel_columns();
      const int64_t columns = std::min(part.weights.panel_columns(), spec_.out - column);
      const std::byte* const data = part.weights.data(panel, first * plane);
      for (int64_t group = 0; group < groups; ++group) {
        alignas(64) float tile[kMicroRows * kMicroColumns];
        micro.run(rows + group * taps * kMicroRows, taps, spec_.in, data, part.weights.vectors(panel), tile,
                  kMicroColumns);
        const int64_t count = std::min(kMicroRows, end - begin - group * kMicroRows);
        for (int64_t r = 0; r < count; ++r) {
          float* const to = out[group * kMicroRows + r] + column;
          const float* const from = tile + r * kMicroColumns;
          if (frame.add == nullptr) {
            for (int64_t c = 0; c < columns; ++c) to[c] = from[c] + bias_[static_cast<size_t>(column + c)];
          } else {
            const float* const add = frame.add + (to - frame.out);
            for (int64_t c = 0; c < columns; ++c)
              to[c] = from[c] + bias_[static_cast<size_t>(column + c)] + add[c];
          }
        }
      }
    }
  });
}

// Each task takes kTiles tiles through all outputs: transformed input frames stay in a ring of spec.frames
// slots, so a frame is transformed once for all outputs that it takes part in.
void Conv::run_winograd(std::span<const void* const> inputs, int64_t height, int64_t width,
                        std::span<float* const> outputs, std::span<const float* const> adds) const {
  const WinogradTiles all{.height = height, .width = width, .begin = 0, .count = 0, .rows = kTiles};
  const int64_t stride = parts_[0].weights.padded_out(), frames = spec_.frames;
  const size_t plane_bytes = static_cast<size_t>(kTiles * spec_.in) * size_of(dtype_);
  const size_t slot_bytes = kWinogradPoints * plane_bytes;
  const int64_t missing = leading_nulls(inputs);
  parallel_for(all.total(), kTiles, [&](int64_t begin, int64_t end) {
    WinogradTiles tiles = all;
    tiles.begin = begin;
    tiles.count = end - begin;
    const size_t sums_bytes = static_cast<size_t>(kWinogradPoints * kTiles * stride) * sizeof(float);
    std::byte* const ring = thread_scratch(static_cast<size_t>(frames) * slot_bytes + sums_bytes);
    float* const sums = reinterpret_cast<float*>(ring + static_cast<size_t>(frames) * slot_bytes);
    int64_t next = missing;  // the first frame that is not transformed yet
    for (int64_t i = 0; i < static_cast<int64_t>(outputs.size()); ++i) {
      for (; next < i + frames; ++next) {
        winograd_input(tiles, dtype_, spec_.in, inputs[static_cast<size_t>(next)],
                       ring + static_cast<size_t>(next % frames) * slot_bytes);
      }
      const int64_t first = std::max<int64_t>(0, missing - i), taps = frames - first;
      for (size_t p = 0; p < kWinogradPoints; ++p) {
        const MicroWeights& weights = parts_[p].weights;
        for (int64_t panel = 0; panel < weights.panels(); ++panel) {
          for (int64_t row = 0; row < tiles.count; row += kMicroRows) {
            const void* rows[8 * kMicroRows];
            for (int64_t k = 0; k < taps * kMicroRows; ++k) {
              const size_t slot = static_cast<size_t>((i + first + k / kMicroRows) % frames);
              const int64_t tile = std::min(row + k % kMicroRows, tiles.count - 1);
              rows[k] = ring + slot * slot_bytes + p * plane_bytes +
                        static_cast<size_t>(tile * spec_.in) * size_of(dtype_);
            }
            float* const c =
                sums + (static_cast<int64_t>(p) * kTiles + row) * stride + panel * weights.panel_columns();
            weights.micro().run(rows, taps, spec_.in, weights.data(panel, first), weights.vectors(panel), c,
                                stride);
          }
        }
      }
      const size_t output = static_cast<size_t>(i);
      winograd_output(tiles, spec_.out, sums, stride, bias_.data(), adds.empty() ? nullptr : adds[output],
                      outputs[output]);
    }
  });
}

}  // namespace wanslim
