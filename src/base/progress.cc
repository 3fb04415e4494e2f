// SPDX-License-Identifier: Apache-2.0
#include "base/progress.h"

namespace wanslim {

Progress& no_progress() {
  static Progress none;
  return none;
}

}  // namespace wanslim
