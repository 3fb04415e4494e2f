// SPDX-License-Identifier: Apache-2.0
// The starting noise of a run: standard normal floats that follow PyTorch's generators for the same seed, or
// a tensor from a file. A seed is not portable between devices (the official pipelines draw on the GPU), so a
// run names its source. Spec wan-forward A7 "Noise".
//
// Bits are the same on every machine (portable_math; the float roundings of PyTorch's steps are kept).
// PyTorch's own log, cos and sin are approximations that differ between builds and devices; what was measured
// is said below.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace wanslim {

// torch.randn(count, dtype=float32, generator=torch.Generator("cpu").manual_seed(seed)): mt19937 from the low
// 32 bits of the seed. From 16 elements on, blocks of 16 uniforms of 24 bits go through Box-Muller in place
// and a rest draws its last 16 again; below 16, double Box-Muller by pairs. Against torch 2.13 with AVX2: 84
// % of the values bit-equal, at most 4.8e-7 apart, rel_l2 3.3e-8; below 16 elements all bit-equal.
std::vector<float> torch_cpu_noise(uint64_t seed, int64_t count);

// What the launch of torch's normal kernel takes from the GPU. The values depend on it only for tensors with
// more elements than the GPU holds threads (A100: 221,184).
struct CudaGeometry {
  // A100: 108 x 2048. H100 SXM: 132 x 2048, H20: 78 x 2048, RTX 3090: 82 x 1536, RTX 4090: 128 x 1536.
  int64_t multiprocessors = 108;
  int64_t threads_per_multiprocessor = 2048;
};

// torch.randn(count, dtype=float32, device="cuda", generator=a fresh one with this seed): Philox4x32-10 as in
// cuRAND (curand_normal4), thread = subsequence, a grid-stride loop of 256-thread blocks that takes 4 values
// per call. Assumes torch >= 1.5 and offset 0. GPUs use approximate intrinsics for log, sin and cos: expect
// values within 1e-5 of theirs, not their bits.
std::vector<float> torch_cuda_noise(uint64_t seed, int64_t count, const CudaGeometry& geometry = {});

// Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3": 10 rounds.
std::array<uint32_t, 4> philox4x32_10(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// The generators, one row each.
struct NoiseSource {
  std::string_view name;  // "cpu", "cuda"
  std::string_view what;  // for the help text
  std::vector<float> (*draw)(uint64_t seed, int64_t count, const CudaGeometry& geometry);
};
std::span<const NoiseSource> noise_sources();
const NoiseSource& noise_source(std::string_view name);  // Error with the nearest spelling

// Noise that was read from a file, as floats of shape `shape` ([16, T, h, w]); a leading 1 is accepted.
// Error, naming `where`, for another shape, a type that is no float, or a value that is not finite.
Tensor noise_from_tensor(const Tensor& file, const Shape& shape, std::string_view where);

}  // namespace wanslim
