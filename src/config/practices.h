// SPDX-License-Identifier: Apache-2.0
// The built-in recipes as one visible table: what --quant_type chooses from and what the practices command
// shows. Each is ordinary recipe YAML (parse_recipe reads it); none needs calibration data. Which formats
// hold a scheme is said in the description and decided elsewhere.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wanslim {

struct Practice {
  std::string name;                      // "wan2_1_w8a8_dynamic", its metadata.config_id
  int w_bit = 0, a_bit = 0;              // of its label; a_bit 16: activations stay float
  std::vector<std::string> quant_types;  // the --quant_type names that choose it, the plainest first
  std::string description;               // one line: scheme, layers, what loads it
  std::string yaml;
};

std::span<const Practice> practices();

// By --quant_type (any case): a name of the reference (w8a8, w8a16, ...: ^w(\d+)a(\d+)((?:c8|f[48])?)(s?)$),
// one of ours (mxfp8, w4a16_g128, q4_k, ...) or the name of a practice. Throws Error of kind kUsage with the
// nearest spelling, or with the reason why a type of the reference has no practice here.
const Practice& choose_practice(std::string_view quant_type);

}  // namespace wanslim
