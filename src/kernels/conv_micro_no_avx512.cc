// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv_micro.h"

namespace wanslim {

const ConvMicro* conv_micro_bf16() {
  return nullptr;
}

}  // namespace wanslim
