// SPDX-License-Identifier: Apache-2.0
// Does a text look like mojibake? The heuristic of ftfy 6.3: classes of the some 400 characters that misread
// UTF-8 consists of, and rules for which of them do not stand beside each other in meant text.
#pragma once
#include <string_view>

namespace wanslim {

bool looks_like_mojibake(std::u32string_view text);

}  // namespace wanslim
