// SPDX-License-Identifier: Apache-2.0
#include "kernels/peak.h"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

#include "base/threads.h"
#include "kernels/gemm_micro.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/peak.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::CappedTag<float, 16>;
constexpr int kSums = 12;  // enough to hide the latency, few enough for 16 registers

// Operations done; the sum goes to `out` so that nothing is left out.
double multiply_floats(int64_t rounds, float* out) {
  const F32 d;
  const auto a = hn::Set(d, out[0]), b = hn::Set(d, out[1]);
  hn::Vec<F32> sums[kSums];
  HWY_UNROLL(12)
  for (int i = 0; i < kSums; ++i) sums[i] = hn::Set(d, static_cast<float>(i));  // all different
  for (int64_t r = 0; r < rounds; ++r) {
    HWY_UNROLL(12)
    for (int i = 0; i < kSums; ++i) sums[i] = hn::MulAdd(a, b, sums[i]);
  }
  HWY_UNROLL(12)
  for (int i = 1; i < kSums; ++i) sums[0] = hn::Add(sums[0], sums[i]);
  out[2] = hn::GetLane(sums[0]);
  return 2.0 * kSums * static_cast<double>(hn::Lanes(d)) * static_cast<double>(rounds);
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wanslim {
namespace {

HWY_EXPORT(multiply_floats);

constexpr int kRounds = 5;

// Of this thread alone: what others do on the machine hardly counts.
double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The best rate of a body that says how much it did, on every thread at once.
double best_rate(const std::function<double()>& body) {
  double best = 0;
  std::vector<double> rates(static_cast<size_t>(threads()));
  for (int round = 0; round < kRounds; ++round) {
    parallel_for(threads(), 1, [&](int64_t first, int64_t end) {
      for (int64_t i = first; i < end; ++i) {
        const double begin = thread_seconds(), done = body();
        rates[static_cast<size_t>(i)] = done / (thread_seconds() - begin);
      }
    });
    double all = 0;
    for (double rate : rates) all += rate;
    best = std::max(best, all);
  }
  return best;
}

const MicroKernel& kernel_of(GemmType type) {
  const MicroKernels& all = micro_kernels();
  return type == GemmType::kF32 ? all.f32 : type == GemmType::kBF16 ? all.bf16 : all.s8;
}

}  // namespace

double register_rate_f32(double effort) {
  const int64_t rounds = static_cast<int64_t>(2e6 * effort) + 1;
  return best_rate([rounds] {
    float values[3] = {0.5f, 0.25f, 0};
    return HWY_DYNAMIC_DISPATCH(multiply_floats)(rounds, values);
  });
}

double micro_kernel_rate(GemmType type, double effort) {
  const MicroKernel& kernel = kernel_of(type);
  const int64_t element = type == GemmType::kF32 ? 4 : type == GemmType::kBF16 ? 2 : 1;
  const int64_t depth = kernel.expand ? 384 : 512 / element;  // a part of 24 KiB, a panel of 16
  const int calls = static_cast<int>(10000 * effort) + 1;
  return best_rate([&] {
    std::vector<uint32_t> strip(static_cast<size_t>(kernel.strip_words(depth)), 0);
    std::vector<uint32_t> panel(static_cast<size_t>(depth * kPanel), 0);  // in any form
    // Several tiles by turns, as in a product: one alone would wait for what was just written to it.
    constexpr int64_t kTiles = 8;
    const int64_t tile_size = kernel.rows * kPanel;
    std::vector<float> tiles(static_cast<size_t>(kTiles * tile_size), 0);
    for (int i = 0; i < calls; ++i) {
      const int64_t groups = depth / kernel.group;
      float* const tile = tiles.data() + i % kTiles * tile_size;
      if (kernel.expand == nullptr) {
        kernel.run(strip.data(), panel.data(), groups, tile, kPanel);
        continue;
      }
      for (int64_t c = 0; c < kPanel; c += kernel.columns) {
        const std::byte* part =
            reinterpret_cast<const std::byte*>(panel.data()) + c / kernel.columns * kernel.part_bytes(groups);
        kernel.run_part(strip.data(), part, groups, tile + c, kPanel);
      }
    }
    return 2.0 * calls * static_cast<double>(kernel.rows * kPanel * depth);
  });
}

double memory_rate(double effort) {
  const size_t bytes = static_cast<size_t>(effort * (64 << 20)) + 4096;
  return best_rate([bytes] {
    thread_local std::vector<std::byte> from, to;
    from.resize(bytes, std::byte{1}), to.resize(bytes);
    constexpr int kCopies = 4;
    for (int i = 0; i < kCopies; ++i) std::memcpy(to.data(), from.data(), bytes);
    return 2.0 * kCopies * static_cast<double>(bytes);
  });
}

}  // namespace wanslim
#endif
