// SPDX-License-Identifier: Apache-2.0
// Reading a MindIE-SD folder as mindiesd.quantize() does: which files, which modes, which key decides a
// layer, which tensors it must find. Spec: formats B1-B4.
#pragma once
#include "formats/format.h"

namespace wanslim {

bool recognizes_mindie(const Path& path);
VerifyReport verify_mindie(const Path& path);
std::unique_ptr<WeightSource> read_mindie(const Path& path);

}  // namespace wanslim
