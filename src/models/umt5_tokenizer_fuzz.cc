// SPDX-License-Identifier: Apache-2.0
// Any spiece.model or tokenizer.json either becomes a tokenizer whose ids are below its vocabulary or is
// refused.
#include <algorithm>

#include "base/error.h"
#include "models/umt5_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const wanslim::Umt5Tokenizer tokenizer(bytes[0] == '{' ? wanslim::parse_tokenizer_json(bytes, "fuzz")
                                                           : wanslim::parse_spiece_model(bytes, 3, "fuzz"));
    for (const char* text :
         {"a cat, <extra_id_0> e\u0301\u30ab\r\n", " \u2581\u2581 </s>\u732b\U0001f600 "}) {
      const auto ids = tokenizer.encode_clean(text, 64);
      CHECK(std::all_of(ids.begin(), ids.end(), [](int32_t id) { return id >= 0; }));
    }
  } catch (const wanslim::Error&) {
  }
  return 0;
}
