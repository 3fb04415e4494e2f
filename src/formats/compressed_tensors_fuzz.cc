// SPDX-License-Identifier: Apache-2.0
// Any text is a quantization_config that is read, or an Error; a group that is read and written reads the
// same.
#include <cstdint>

#include "base/error.h"
#include "formats/compressed_tensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace wanslim;
  CtConfig config;
  try {
    config = parse_ct_config(parse_json({reinterpret_cast<const char*>(data), size}, "fuzz"), "fuzz");
  } catch (const Error&) {
    return 0;
  }
  for (const CtGroup& group : config.groups) {
    const Json again = {{"config_groups", {{"group_0", ct_group_json(group)}}}};
    CHECK(parse_ct_config(again, "again").groups.at(0).scheme == group.scheme);
  }
  return 0;
}
