// SPDX-License-Identifier: Apache-2.0
#include "io/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstring>
#include <set>
#include <type_traits>

#include "base/error.h"
#include "base/utf8.h"

namespace wanslim {
namespace {

// Sizes: ggml's type table. Numbers that are missing here belonged to types that were withdrawn.
const std::vector<GgufType>& types() {
  static const std::vector<GgufType> kTypes = {
      {0, "F32", 1, 4, DType::kF32},
      {1, "F16", 1, 2, DType::kF16},
      {2, "Q4_0", 32, 18, std::nullopt, Encoding::kQ4_0},
      {3, "Q4_1", 32, 20},
      {6, "Q5_0", 32, 22},
      {7, "Q5_1", 32, 24},
      {8, "Q8_0", 32, 34, std::nullopt, Encoding::kQ8_0},
      {9, "Q8_1", 32, 36},
      {10, "Q2_K", 256, 84, std::nullopt, Encoding::kQ2_K},
      {11, "Q3_K", 256, 110, std::nullopt, Encoding::kQ3_K},
      {12, "Q4_K", 256, 144, std::nullopt, Encoding::kQ4_K},
      {13, "Q5_K", 256, 176, std::nullopt, Encoding::kQ5_K},
      {14, "Q6_K", 256, 210, std::nullopt, Encoding::kQ6_K},
      {15, "Q8_K", 256, 292},
      {16, "IQ2_XXS", 256, 66},
      {17, "IQ2_XS", 256, 74},
      {18, "IQ3_XXS", 256, 98},
      {19, "IQ1_S", 256, 50},
      {20, "IQ4_NL", 32, 18},
      {21, "IQ3_S", 256, 110},
      {22, "IQ2_S", 256, 82},
      {23, "IQ4_XS", 256, 136},
      {24, "I8", 1, 1, DType::kI8},
      {25, "I16", 1, 2, DType::kI16},
      {26, "I32", 1, 4, DType::kI32},
      {27, "I64", 1, 8, DType::kI64},
      {28, "F64", 1, 8, DType::kF64},
      {29, "IQ1_M", 256, 56},
      {30, "BF16", 1, 2, DType::kBF16},
      {34, "TQ1_0", 256, 54},
      {35, "TQ2_0", 256, 66},
      {39, "MXFP4", 32, 17},
  };
  return kTypes;
}

template <class Match>
const GgufType* find_type(Match match) {
  const auto it = std::find_if(types().begin(), types().end(), match);
  return it == types().end() ? nullptr : &*it;
}

// Types of values of the metadata.
enum ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};
constexpr uint64_t kValueBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

bool is_utf8(std::string_view text) {
  return first_invalid_utf8(text) == std::string_view::npos;
}

constexpr uint64_t kMaxKey = 65535;
constexpr uint64_t kMaxRank = 8;
constexpr uint64_t kShownNumbers = 16;
constexpr size_t kMaxText = 4096;  // of a string that is kept

// Thrown and caught in this file alone: the header goes on behind what was given.
struct NeedMore {};

struct Reader {
  std::span<const std::byte> bytes;
  bool whole;  // `bytes` is all there is
  std::string_view where;
  size_t at = 0;

  [[noreturn]] void fail(std::string what, std::string_view item = {}) const {
    throw Error(
        {.what = std::move(what),
         .where = item.empty() ? std::string(where) : fmt::format("{}: \"{}\"", where, printable(item)),
         .hint = "the file is damaged or no GGUF file; copy or download it again"});
  }
  std::span<const std::byte> take(uint64_t count) {
    if (count > bytes.size() - at) {
      if (!whole) throw NeedMore();
      fail(fmt::format("the header ends at byte {}, in the middle of {} more bytes", bytes.size(), count));
    }
    at += static_cast<size_t>(count);
    return bytes.subspan(at - static_cast<size_t>(count), static_cast<size_t>(count));
  }
  uint64_t number(size_t width) {
    uint64_t value = 0;
    const auto raw = take(width);
    for (size_t i = 0; i < width; ++i) value |= static_cast<uint64_t>(raw[i]) << (8 * i);
    return value;
  }
  // A length that a header can hold; what is larger will not come true by reading on.
  uint64_t length() {
    const uint64_t value = number(8);
    if (value > kMaxGgufHeader) fail(fmt::format("a length of {} at byte {}", value, at - 8));
    return value;
  }
  std::string_view text(uint64_t limit, std::string_view what) {
    const uint64_t size = length();
    if (size > limit) fail(fmt::format("{} has {} bytes, at most {} are allowed", what, size, limit));
    const auto raw = take(size);
    return {reinterpret_cast<const char*>(raw.data()), raw.size()};
  }
};

template <class T>
T bits_as(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

std::string scalar_text(Reader& in, uint32_t type) {
  const uint64_t bits = in.number(kValueBytes[type]);
  switch (type) {
    case kI8:
      return std::to_string(static_cast<int8_t>(bits));
    case kI16:
      return std::to_string(static_cast<int16_t>(bits));
    case kI32:
      return std::to_string(static_cast<int32_t>(bits));
    case kI64:
      return std::to_string(static_cast<int64_t>(bits));
    case kF32:
      return fmt::format("{}", bits_as<float>(bits));
    case kF64:
      return fmt::format("{}", bits_as<double>(bits));
    case kBool:
      return bits ? "true" : "false";
    default:
      return std::to_string(bits);
  }
}

uint32_t value_type(Reader& in, std::string_view key) {
  const auto type = static_cast<uint32_t>(in.number(4));
  if (type > kF64) in.fail(fmt::format("unknown type {} of a value", type), key);
  return type;
}

std::string array_text(Reader& in, std::string_view key) {
  const uint32_t type = value_type(in, key);
  const uint64_t count = in.length();
  if (type == kArray) in.fail("arrays of arrays are not read", key);
  if (type == kString) {
    for (uint64_t i = 0; i < count; ++i) in.text(kMaxGgufHeader, "a string");
  } else if (count <= kShownNumbers) {
    std::string out;
    for (uint64_t i = 0; i < count; ++i) out += (i == 0 ? "" : ",") + scalar_text(in, type);
    return out;
  } else {
    in.take(count * kValueBytes[type]);
  }
  return fmt::format("[{} values]", count);
}

void read_pair(Reader& in, GgufHeader& header) {
  const std::string key(in.text(kMaxKey, "a key"));
  if (key.empty() || !is_utf8(key)) in.fail("a key is empty or no UTF-8", key);
  const uint32_t type = value_type(in, key);
  std::string value;
  if (type == kString) {
    value = in.text(kMaxGgufHeader, "a string");
    if (!is_utf8(value)) in.fail("the value is no UTF-8", key);
    if (value.size() > kMaxText) value = fmt::format("[{} bytes]", value.size());
  } else {
    value = type == kArray ? array_text(in, key) : scalar_text(in, type);
  }
  if (key == "general.alignment") {
    header.alignment = type == kU32 ? std::stoull(value) : 0;
    if (header.alignment < 8 || header.alignment > 65536 || (header.alignment & (header.alignment - 1)) != 0)
      in.fail(fmt::format("the alignment is {}, expected a power of two from 8 to 65536", value), key);
  }
  if (!header.metadata.emplace(key, std::move(value)).second) in.fail("the key stands twice", key);
}

GgufTensor read_info(Reader& in) {
  GgufTensor tensor;
  tensor.name = in.text(kMaxGgufName, "a tensor name");
  if (tensor.name.empty() || !is_utf8(tensor.name))
    in.fail("a tensor name is empty or no UTF-8", tensor.name);
  const uint64_t rank = in.number(4);
  if (rank < 1 || rank > kMaxRank)
    in.fail(fmt::format("{} dimensions, expected 1 to {}", rank, kMaxRank), tensor.name);
  for (uint64_t i = 0; i < rank; ++i) {
    const uint64_t extent = in.number(8);
    if (extent > uint64_t{INT64_MAX}) in.fail(fmt::format("the extent {}", extent), tensor.name);
    tensor.shape.push_back(static_cast<int64_t>(extent));
  }
  std::reverse(tensor.shape.begin(), tensor.shape.end());
  const auto type = static_cast<uint32_t>(in.number(4));
  tensor.type = find_gguf_type(type);
  if (!tensor.type) in.fail(fmt::format("unknown tensor type {}", type), tensor.name);
  tensor.offset = in.number(8);
  try {
    tensor.bytes = gguf_bytes(*tensor.type, tensor.shape);
  } catch (const Error& e) {
    in.fail(e.parts.what, tensor.name);
  }
  return tensor;
}

// Offsets from the start of the file, inside it, aligned, without overlap, no name twice.
void check_tensors(GgufHeader& header, const Reader& in, uint64_t file_bytes) {
  const uint64_t start = (in.at + header.alignment - 1) / header.alignment * header.alignment;
  std::set<std::string_view> names;
  for (GgufTensor& tensor : header.tensors) {
    if (!names.insert(tensor.name).second) in.fail("the tensor stands twice", tensor.name);
    if (tensor.offset % header.alignment != 0)
      in.fail(fmt::format("the offset {} is no multiple of {}", tensor.offset, header.alignment),
              tensor.name);
    if (start > file_bytes || tensor.offset > file_bytes - start ||
        tensor.bytes > file_bytes - start - tensor.offset) {
      in.fail(fmt::format("{} bytes from {} on lie outside the file of {} bytes", tensor.bytes, tensor.offset,
                          file_bytes),
              tensor.name);
    }
    tensor.offset += start;
  }
  std::vector<const GgufTensor*> order;
  for (const GgufTensor& tensor : header.tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const GgufTensor* a, const GgufTensor* b) {
    return a->offset != b->offset ? a->offset < b->offset : a->bytes < b->bytes;
  });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i]->offset >= order[i - 1]->offset + order[i - 1]->bytes) continue;
    in.fail(fmt::format("overlaps \"{}\"", printable(order[i - 1]->name)), order[i]->name);
  }
}

void put(std::string& out, uint64_t value, size_t width) {
  for (size_t i = 0; i < width; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}
void put(std::string& out, std::string_view text) {
  put(out, text.size(), 8);
  out += text;
}
template <class T>
constexpr ValueType kTypeOf = std::is_same_v<T, uint8_t>       ? kU8
                              : std::is_same_v<T, int32_t>     ? kI32
                              : std::is_same_v<T, uint32_t>    ? kU32
                              : std::is_same_v<T, float>       ? kF32
                              : std::is_same_v<T, bool>        ? kBool
                              : std::is_same_v<T, std::string> ? kString
                                                               : kArray;

template <class T>
void put_value(std::string& out, const T& value) {
  if constexpr (kTypeOf<T> == kString) {
    put(out, std::string_view(value));
  } else if constexpr (kTypeOf<T> == kF32) {
    put(out, std::bit_cast<uint32_t>(value), sizeof(T));
  } else if constexpr (kTypeOf<T> == kArray) {
    put(out, kTypeOf<typename T::value_type>, 4);
    put(out, value.size(), 8);
    for (const auto& element : value) put_value(out, element);
  } else {
    put(out, static_cast<std::make_unsigned_t<std::conditional_t<kTypeOf<T> == kBool, char, T>>>(value),
        sizeof(T));
  }
}

uint64_t padded(uint64_t bytes) {
  return (bytes + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment;
}

}  // namespace

const GgufType* find_gguf_type(uint32_t id) {
  return find_type([&](const GgufType& t) { return t.id == id; });
}
const GgufType* find_gguf_type(std::string_view name) {
  return find_type([&](const GgufType& t) {
    return std::equal(name.begin(), name.end(), t.name.begin(), t.name.end(),
                      [](char a, char b) { return std::toupper(static_cast<unsigned char>(a)) == b; });
  });
}
const GgufType* find_gguf_type(DType dtype) {
  return find_type([&](const GgufType& t) { return t.dtype == dtype; });
}
const GgufType* find_gguf_type(Encoding encoding) {
  return find_type([&](const GgufType& t) { return !t.dtype && t.encoding == encoding; });
}

uint64_t gguf_bytes(const GgufType& type, const Shape& shape) {
  const int64_t inner = shape.empty() ? 1 : shape.back();
  if (inner % type.elements != 0) {
    throw Error({.what = fmt::format("the innermost extent {} is no multiple of the {} values of a {} block",
                                     inner, type.elements, type.name)});
  }
  uint64_t bytes = 0;
  const auto blocks = static_cast<uint64_t>(element_count(shape) / type.elements);
  if (__builtin_mul_overflow(blocks, static_cast<uint64_t>(type.bytes), &bytes))
    throw Error({.what = fmt::format("{} {} is too large", type.name, to_string(shape))});
  return bytes;
}

std::optional<GgufHeader> parse_gguf_header(std::span<const std::byte> prefix, uint64_t file_bytes,
                                            std::string_view where) {
  Reader in{.bytes = prefix, .whole = prefix.size() >= std::min(file_bytes, kMaxGgufHeader), .where = where};
  GgufHeader header;
  try {
    const auto magic = in.take(4);
    if (std::memcmp(magic.data(), "GGUF", 4) != 0) in.fail("the file does not begin with \"GGUF\"");
    const uint64_t version = in.number(4);
    if (version == 0x02000000 || version == 0x03000000) in.fail("the file is big-endian");
    if (version != 2 && version != 3) in.fail(fmt::format("GGUF version {}, expected 3", version));
    const uint64_t tensors = in.length(), pairs = in.length();
    for (uint64_t i = 0; i < pairs; ++i) read_pair(in, header);
    for (uint64_t i = 0; i < tensors; ++i) header.tensors.push_back(read_info(in));
  } catch (const NeedMore&) {
    return std::nullopt;
  }
  check_tensors(header, in, file_bytes);
  return header;
}

GgufLayout layout_gguf(std::vector<GgufTensor> tensors,
                       const std::vector<std::pair<std::string, GgufValue>>& metadata) {
  GgufLayout layout;
  std::string& head = layout.head;
  head = "GGUF";
  put(head, 3, 4);
  put(head, tensors.size(), 8);
  put(head, metadata.size(), 8);
  for (const auto& [key, value] : metadata) {
    put(head, key);
    std::visit(
        [&](const auto& v) {
          put(head, kTypeOf<std::decay_t<decltype(v)>>, 4);
          put_value(head, v);
        },
        value);
  }
  uint64_t at = 0;
  for (GgufTensor& tensor : tensors) {
    CHECK(tensor.type != nullptr && tensor.name.size() <= kMaxGgufName);
    tensor.bytes = gguf_bytes(*tensor.type, tensor.shape);
    tensor.offset = at;
    put(head, tensor.name);
    put(head, tensor.shape.size(), 4);
    for (size_t i = tensor.shape.size(); i-- > 0;) put(head, static_cast<uint64_t>(tensor.shape[i]), 8);
    put(head, tensor.type->id, 4);
    put(head, at, 8);
    at += padded(tensor.bytes);
  }
  head.resize(static_cast<size_t>(padded(head.size())), '\0');
  for (GgufTensor& tensor : tensors) tensor.offset += head.size();
  layout.file_bytes = head.size() + at;
  layout.tensors = std::move(tensors);
  return layout;
}

}  // namespace wanslim
