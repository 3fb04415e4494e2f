// SPDX-License-Identifier: Apache-2.0
#include "kernels/nvfp4_search.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/nvfp4_search.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/minifloat-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

constexpr uint8_t kFirstNormal = 8;  // E4M3 code

void search_nvfp4(const float* HWY_RESTRICT row, size_t blocks, const float* HWY_RESTRICT value,
                  const float* HWY_RESTRICT inverse, const uint8_t* HWY_RESTRICT first,
                  uint8_t* HWY_RESTRICT codes) {
  for (size_t b = 0; b < blocks; ++b) {
    const float* const block = row + b * kNvfp4Block;
    float best = 0;
    int chosen = 0;
    for (const int step : kNvfp4Steps) {
      const int code = std::clamp(first[b] + step, 1, 126);
      // From `first` on absmax lies below 6.4, unless codes are subnormal and their steps wide.
      const bool within = step >= 0 && first[b] >= kFirstNormal;
      float error = within ? error_within<E2M1>(block, kNvfp4Block, inverse[code])
                           : error_of<E2M1>(block, kNvfp4Block, kE2M1.max, inverse[code]);
      error = error * value[code] * value[code];
      const bool better = chosen == 0 || error < best;
      best = better ? error : best;
      chosen = better ? code : chosen;
    }
    codes[b] = static_cast<uint8_t>(chosen);
  }
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/error.h"

namespace wanslim {

HWY_EXPORT(search_nvfp4);

void nvfp4_search(std::span<const float> row, const Nvfp4Scales& scales, std::span<const uint8_t> first,
                  std::span<uint8_t> codes) {
  const size_t blocks = codes.size();
  CHECK(row.size() == blocks * kNvfp4Block && first.size() == blocks);
  HWY_DYNAMIC_DISPATCH(search_nvfp4)
  (row.data(), blocks, scales.value.data(), scales.inverse.data(), first.data(), codes.data());
}

}  // namespace wanslim
#endif
