// SPDX-License-Identifier: Apache-2.0
// Any bytes are YAML or an Error; on one line it reads back to the same tree.
#include "config/yaml.h"

#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "config/yaml_dump.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  wanslim::YamlNode root;
  try {
    root = wanslim::parse_yaml({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const wanslim::Error&) {
    return 0;
  }
  wanslim::yaml_dump(root);
  const std::string line = wanslim::yaml_flow(root);
  if (line.size() > 100000) return 0;  // aliases may expand beyond the limits of a text
  if (wanslim::yaml_flow(wanslim::parse_yaml(line, "again")) != line) std::abort();
  return 0;
}
