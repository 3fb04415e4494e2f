// SPDX-License-Identifier: Apache-2.0
// Sizes as users write them: "4GB", "512MiB", "1.5g", "800000000".
#pragma once
#include <cstdint>
#include <string_view>

namespace wanslim {

// K, M, G, T are powers of 1000, with an i (KiB) of 1024; the B may be left out, case does not matter. Error
// of kind kUsage naming `where` for anything else, zero and what does not fit 63 bits included.
uint64_t parse_byte_size(std::string_view text, std::string_view where);

}  // namespace wanslim
