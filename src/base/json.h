// SPDX-License-Identifier: Apache-2.0
// JSON: the only place that knows nlohmann. Objects keep the order of their keys.
//
// parse_json refuses duplicate keys, more than 64 levels, trailing bytes and invalid UTF-8; the Error names
// `where` with line and column.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace wanslim {

using Json = nlohmann::ordered_json;

Json parse_json(std::string_view text, std::string_view where);

// Typed access with an Error that names `where`, the key, and what was got and expected.
const Json& json_member(const Json& object, const char* key, std::string_view where);
int64_t json_int(const Json& object, const char* key, std::string_view where);
std::string json_string(const Json& object, const char* key, std::string_view where);

}  // namespace wanslim
