// SPDX-License-Identifier: Apache-2.0
// Any text of config.json is applied or refused with an Error; applied, it leaves only possible values.
#include "base/error.h"
#include "models/wan_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace wanslim;
  WanGeometry g{.dim = 256, .ffn_dim = 96, .heads = 2, .layers = 6, .vace_layers = {0, 3}};
  try {
    apply_config({reinterpret_cast<const char*>(data), size}, "fuzz", g);
    CHECK(g.heads > 0 && g.text_len > 0 && g.eps > 0 && g.eps < 1);
    CHECK(g.vace_layers.size() == 2 && g.vace_layers[0] >= 0 && g.vace_layers[1] < g.layers);
  } catch (const Error&) {
  }
  return 0;
}
