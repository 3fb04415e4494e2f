// SPDX-License-Identifier: Apache-2.0
// Where a value stands in a text, 1-based; columns count characters. {0, 0}: nowhere.
#pragma once

namespace wanslim {

struct Place {
  int line = 0, column = 0;
  bool operator==(const Place&) const = default;
};

}  // namespace wanslim
