// SPDX-License-Identifier: Apache-2.0
// What --profile shows: time by kind of work since Profile::start().
#pragma once
#include <string>

#include "base/json.h"

namespace wanslim {

std::string profile_text();  // a table; the last row is what no scope covers
Json profile_json();         // [{"kind", "seconds", "calls", "gflops_per_second" or null}]

}  // namespace wanslim
