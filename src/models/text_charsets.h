// SPDX-License-Identifier: Apache-2.0
// The single-byte character sets that UTF-8 is commonly misread in, as web browsers read them: bytes without
// a character stand for the control character of the same number.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace wanslim {

// In the order in which a repair tries them.
enum class Charset : uint8_t {
  kLatin1,
  kWindows1252,
  kWindows1251,
  kWindows1250,
  kWindows1253,
  kWindows1254,
  kWindows1257,
  kIso8859_2,
  kMacRoman,
  kCp437
};
constexpr int kCharsets = 10;

// In the Windows sets byte 0x1a stands for U+FFFD, a character that was lost before.
constexpr bool marks_lost_characters(Charset charset) {
  return charset >= Charset::kWindows1252 && charset <= Charset::kWindows1257;
}

char32_t decode_byte(Charset charset, uint8_t byte);

// nullopt if a character is not in the set.
std::optional<std::string> encode(Charset charset, std::u32string_view text);

}  // namespace wanslim
