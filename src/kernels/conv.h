// SPDX-License-Identifier: Apache-2.0
// Convolutions over frames [height, width, channels] (channels innermost), causal in time: one output frame
// is made of `frames` input frames that the caller hands over one by one, so that what stays of a video
// between two calls is the caller's choice and nothing is ever copied together.
//
//   Conv conv(spec, weight, bias);                                 // once: packs the weights
//   conv.run({&before2, &before1, &now}, height, width, {&out});   // any number of times
//
// 3x3 convolutions of stride 1 run as Winograd F(2x2, 3x3), which rounds differently from the plain sum but
// no worse than a small multiple of it. Every output has the same bits for any number of threads.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/conv_micro.h"
#include "tensor/tensor.h"

namespace wanslim {

struct ConvSpec {
  int64_t in = 0, out = 0;                // channels
  int64_t frames = 1;                     // extent in time
  int64_t height = 1, width = 1;          // of the kernel
  int64_t stride = 1;                     // in both directions of the picture
  int64_t pad_before = 0, pad_after = 0;  // zeros above and left; below and right
  bool upsample = false;  // doubles the picture first (nearest): 3x3, one frame, stride 1, pads 1
  bool bf16 = false;      // round weights to bf16; inputs are then of input_dtype()
};

class Conv {
 public:
  Conv() = default;
  // weight [out, in, frames, height, width], bias [out] or empty.
  Conv(const ConvSpec& spec, std::span<const float> weight, std::span<const float> bias);

  // kBF16 if the spec asks for it and this machine multiplies bf16; kF32 otherwise. It must not differ
  // between packing and running.
  DType input_dtype() const { return dtype_; }
  const ConvSpec& spec() const { return spec_; }
  int64_t out_height(int64_t height) const;
  int64_t out_width(int64_t width) const;
  size_t bytes() const;  // of packed weights

  // outputs[i] = convolution of inputs[i, i + frames) + bias + adds[i]. inputs: outputs + frames - 1 pointers
  // of input_dtype(), null for a frame of zeros; null ones stand first, the last of every window is there.
  // `adds` is empty or has a pointer per output, which may be the output itself.
  void run(std::span<const void* const> inputs, int64_t height, int64_t width,
           std::span<float* const> outputs, std::span<const float* const> adds = {}) const;

 private:
  // The taps of one matrix product: where its inputs lie from the output's place, and where its outputs go.
  struct Part {
    MicroWeights weights;
    std::vector<int64_t> dy, dx;  // per tap of one frame
    int64_t to_y = 0, to_x = 0;   // upsample: which of the 2x2 outputs
  };
  void pack_winograd(std::span<const float> weight);
  void pack_plain(std::span<const float> weight);
  void pack_upsample(std::span<const float> weight);
  struct Frame;
  void run_plain(const Part& part, const Frame& frame) const;
  void run_winograd(std::span<const void* const> inputs, int64_t height, int64_t width,
                    std::span<float* const> outputs, std::span<const float* const> adds) const;

  ConvSpec spec_;
  DType dtype_ = DType::kF32;
  bool winograd_ = false;
  std::vector<Part> parts_;   // one; 4 places of an upsampled picture; 16 points of Winograd
  std::vector<float> bias_;   // padded with zeros; never empty
  std::vector<float> zeros_;  // one input pixel
};

}  // namespace wanslim
