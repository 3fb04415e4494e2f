// SPDX-License-Identifier: Apache-2.0
// Repairs mojibake: UTF-8 that was read in another character set ("Ã©" for "é", also several times over), as
// ftfy 6.3 does (https://github.com/rspeer/python-ftfy): text is touched only where it looks like mojibake,
// and changed only if its bytes then are UTF-8, allowing for no-break spaces that became spaces, lost bytes,
// CESU-8.
#pragma once
#include <string>
#include <string_view>

namespace wanslim {

std::u32string repair_mojibake(std::u32string_view text);

// C1 control characters become what Windows-1252 has in their place.
std::u32string replace_c1_controls(std::u32string_view text);

}  // namespace wanslim
