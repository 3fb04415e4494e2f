// SPDX-License-Identifier: Apache-2.0
#include "sampling/guidance.h"

#include "base/error.h"

namespace wanslim {

void guide(std::span<const float> cond, std::span<const float> uncond, float scale, std::span<float> out) {
  CHECK(cond.size() == out.size() && uncond.size() == out.size());
  for (size_t i = 0; i < out.size(); ++i) out[i] = uncond[i] + scale * (cond[i] - uncond[i]);
}

}  // namespace wanslim
