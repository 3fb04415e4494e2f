// SPDX-License-Identifier: Apache-2.0
#include "models/wan_cost.h"

#include <chrono>
#include <vector>

#include "kernels/gemm.h"

namespace wanslim {
namespace {

// Operations a pixel at width 96: the first frame of a video takes more, as it is decoded alone.
constexpr double kDecodeFirst = 10.9e6, kDecodeNext = 8.4e6;

}  // namespace

WanCost forward_cost(const WanGeometry& g, int64_t tokens, int64_t text_rows) {
  const auto t = static_cast<double>(tokens), d = static_cast<double>(g.dim);
  const auto f = static_cast<double>(g.ffn_dim);
  const double image =
      g.has_image_condition ? static_cast<double>(g.image_tokens * (g.has_image_position ? 2 : 1)) : 0;
  // q, k, v, o; cross q and o; both layers of the feed-forward part.
  const double block_linear = 2 * t * (6 * d * d + 2 * d * f);
  const double block_attention = 4 * t * d * (t + static_cast<double>(text_rows) + image);
  const double edges = 2 * t * d * static_cast<double>(4 * (g.in_dim + g.out_dim));
  const auto blocks = static_cast<double>(g.layers), hints = static_cast<double>(g.vace_layers.size());
  WanCost cost;
  cost.linear = (blocks + hints) * block_linear + edges + 2 * t * d * d * (hints > 0 ? hints + 1 : 0);
  cost.attention = (blocks + hints) * block_attention;
  return cost;
}

double vae_decode_cost(int64_t dim, int64_t frames, int64_t pixels) {
  const double width = static_cast<double>(dim) / 96;
  return width * width * static_cast<double>(pixels) *
         (kDecodeFirst + kDecodeNext * static_cast<double>(frames - 1));
}

double measure_product_rate(Compute compute) {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kRows = 256, kSide = 768;
  const std::vector<float> ones(static_cast<size_t>(kSide * kSide), 0.5f);
  const std::vector<uint16_t> narrow(static_cast<size_t>(kSide * kSide), 0x3f00);
  const PackedWeight weight =
      compute == Compute::kF32 ? pack_f32(ones, kSide, kSide) : pack_bf16(narrow, kSide, kSide);
  std::vector<float> out(static_cast<size_t>(kRows * kSide));
  double best = 0, spent = 0;
  for (int round = 0; spent < 0.1 || round < 2; ++round) {
    const Clock::time_point begin = Clock::now();
    if (compute == Compute::kF32) {
      gemm_f32(ones.data(), kRows, weight, {.f32 = out.data()});
    } else {
      gemm_bf16(narrow.data(), kRows, weight, {.f32 = out.data()});
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    spent += seconds;
    if (round > 0) best = std::max(best, 2.0 * kRows * kSide * kSide / seconds);  // the first one warms up
  }
  return best;
}

}  // namespace wanslim
