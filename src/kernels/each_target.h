// SPDX-License-Identifier: Apache-2.0
// For tests: runs a body once on every SIMD target that this machine has and this build contains.
#pragma once
#include <gtest/gtest.h>

#include "hwy/targets.h"

namespace wanslim {

template <class Body>
void each_target(Body body) {
  for (int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
}

}  // namespace wanslim
