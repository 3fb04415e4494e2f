// SPDX-License-Identifier: Apache-2.0
// The commands, one file each; main.cc lists them.
#pragma once
#include <functional>

#include "cli/options.h"

namespace wanslim {

std::function<int()> setup_quant(Options& options);
std::function<int()> setup_convert(Options& options);
std::function<int()> setup_verify(Options& options);
std::function<int()> setup_practices(Options& options);
std::function<int()> setup_compare(Options& options);
std::function<int()> setup_inspect(Options& options);
std::function<int()> setup_synth(Options& options);
std::function<int()> setup_module(Options& options);
std::function<int()> setup_generate(Options& options);

}  // namespace wanslim
