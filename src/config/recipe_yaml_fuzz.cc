// SPDX-License-Identifier: Apache-2.0
// Any bytes are a recipe or an Error; a recipe that is written reads back and is written the same.
#include "config/recipe_yaml.h"

#include <cstdint>
#include <cstdlib>

#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  wanslim::Recipe recipe;
  try {
    recipe = wanslim::parse_recipe(text, "fuzz");
  } catch (const wanslim::Error&) {
    return 0;
  }
  wanslim::best_practice_yaml(recipe);
  const std::string written = wanslim::recipe_yaml(recipe);
  // What does not read back escapes as an Error and ends the run.
  if (wanslim::recipe_yaml(wanslim::parse_recipe(written, "again")) != written) std::abort();
  return 0;
}
