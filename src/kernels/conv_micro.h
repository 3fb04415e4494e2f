// SPDX-License-Identifier: Apache-2.0
// Internal to kernels: the innermost loop of a convolution, one per SIMD target and element type.
//
// A convolution is a matrix product whose rows are found through pointers ("indirect convolution", Dukhan,
// arXiv 1907.02129): for each of kMicroRows output pixels and each tap a pointer to `depth` channels of one
// input pixel, or to zeros outside of the picture.
#pragma once
#include <cstdint>
#include <span>

#include "tensor/tensor.h"

namespace wanslim {

constexpr int64_t kMicroRows = 8;
constexpr int64_t kMicroVectors = 3;                   // a panel is at most 3 vectors of outputs wide
constexpr int64_t kMicroColumns = kMicroVectors * 16;  // widest panel of any target

struct ConvMicro {
  int64_t lanes = 0;  // outputs per vector
  int64_t group = 1;  // channels that stand together: 1 for f32, 2 for bf16; the depth is a multiple of it

  // c[row * ldc + column] = sum over taps and channels of rows[tap * kMicroRows + row][channel] * panel, for
  // columns [0, vectors * lanes). Channels run innermost, in order: the sum depends on nothing else.
  void (*run)(const void* const* rows, int64_t taps, int64_t depth, const void* panel, int64_t vectors,
              float* c, int64_t ldc) = nullptr;

  size_t element_bytes() const { return group == 1 ? sizeof(float) : sizeof(uint16_t); }
};

// Float inputs and weights, on the best SIMD target of this machine.
const ConvMicro& conv_micro_f32();

// bf16 inputs and weights, products exact, summed in float; null where the machine or the build has no
// instruction for it.
const ConvMicro* conv_micro_bf16();

// The weights of one convolution in the order in which the loop reads them, padded with zeros to whole
// vectors:
//   [panel][tap][channel / group][output of the panel][channel % group]
class MicroWeights {
 public:
  MicroWeights() = default;
  MicroWeights(const ConvMicro& micro, int64_t taps, int64_t depth, int64_t out);

  // The channels of one output at one tap, rounded to the nearest bf16 where the loop wants it. Calls for
  // different outputs may run in parallel.
  void set(int64_t output, int64_t tap, std::span<const float> channels);

  const ConvMicro& micro() const { return *micro_; }
  int64_t panels() const { return (out_ + panel_columns() - 1) / panel_columns(); }
  int64_t panel_columns() const { return kMicroVectors * micro_->lanes; }
  int64_t vectors(int64_t panel) const;  // of this panel
  int64_t padded_out() const { return (out_ + micro_->lanes - 1) / micro_->lanes * micro_->lanes; }
  const std::byte* data(int64_t panel, int64_t tap) const;
  size_t bytes() const { return data_.size(); }

 private:
  const ConvMicro* micro_ = nullptr;
  int64_t taps_ = 0, depth_ = 0, out_ = 0;
  Buffer data_;
};

}  // namespace wanslim
