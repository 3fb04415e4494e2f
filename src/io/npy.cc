// SPDX-License-Identifier: Apache-2.0
#include "io/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "base/error.h"

namespace wanslim {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxHeader = 65536;
constexpr uint64_t kMaxFile = uint64_t{4} << 30;

struct Descr {
  DType dtype;
  std::string_view text;
};
// '|' marks types whose byte order has no meaning.
constexpr Descr kDescrs[] = {
    {DType::kBool, "|b1"}, {DType::kI8, "|i1"},  {DType::kU8, "|u1"},  {DType::kI16, "<i2"},
    {DType::kU16, "<u2"},  {DType::kI32, "<i4"}, {DType::kU32, "<u4"}, {DType::kI64, "<i8"},
    {DType::kU64, "<u8"},  {DType::kF16, "<f2"}, {DType::kF32, "<f4"}, {DType::kF64, "<f8"},
};

struct Header {
  std::string descr;
  std::optional<bool> fortran;
  std::optional<Shape> shape;
};

// Reads the dict literal: three known keys, single-quoted strings, True or False, a tuple of whole numbers.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, std::string_view where) : text_(text), where_(where) {}

  Header read() {
    Header out;
    expect('{');
    while (!take('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr" && out.descr.empty()) {
        out.descr = quoted();
      } else if (key == "fortran_order" && !out.fortran) {
        out.fortran = boolean();
      } else if (key == "shape" && !out.shape) {
        out.shape = tuple();
      } else {
        fail(fmt::format("unexpected key \"{}\"", printable(key)));
      }
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    skip();
    if (at_ != text_.size()) fail("text after the header's dict");
    if (out.descr.empty() || !out.fortran || !out.shape) fail("descr, fortran_order or shape is missing");
    return out;
  }

 private:
  [[noreturn]] void fail(std::string what) const {
    throw Error({.what = "bad .npy header: " + std::move(what), .where = std::string(where_)});
  }
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(fmt::format("expected '{}' at character {}", c, at_));
  }
  std::string quoted() {
    expect('\'');
    const size_t end = text_.find('\'', at_);
    if (end == std::string_view::npos) fail("a string does not end");
    std::string out(text_.substr(at_, end - at_));
    at_ = end + 1;
    return out;
  }
  bool boolean() {
    skip();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return word == "True";
      }
    }
    fail("expected True or False");
  }
  Shape tuple() {
    Shape out;
    expect('(');
    while (!take(')')) {
      skip();
      int64_t value = 0;
      const size_t begin = at_;
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
        if (value > (int64_t{1} << 48)) fail("an extent is too large");
        value = value * 10 + (text_[at_] - '0');
      }
      if (at_ == begin) fail("expected a number in the shape");
      out.push_back(value);
      if (out.size() > 32) fail("more than 32 dimensions");
      if (!take(',')) {
        expect(')');
        break;
      }
    }
    return out;
  }

  std::string_view text_, where_;
  size_t at_ = 0;
};

DType dtype_of(std::string_view descr, std::string_view where) {
  for (const Descr& row : kDescrs) {
    // Single bytes may carry any order mark.
    if (row.text == descr || (row.text[0] == '|' && descr.substr(1) == row.text.substr(1))) return row.dtype;
  }
  throw Error({.what = fmt::format("elements of type '{}' cannot be read", printable(descr)),
               .where = std::string(where),
               .hint = "save little-endian integers or floats, for example array.astype('<f4')"});
}

}  // namespace

Tensor parse_npy(std::span<const std::byte> bytes, std::string_view where) {
  const auto fail = [&](std::string what) {
    throw Error({.what = std::move(what), .where = std::string(where), .hint = "write the file again"});
  };
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.size() < 10 || text.substr(0, kMagic.size()) != kMagic) fail("this is not a .npy file");
  const int major = static_cast<uint8_t>(text[6]);
  if (major < 1 || major > 3) fail(fmt::format(".npy version {}, expected 1 to 3", major));
  const size_t prefix = major == 1 ? 10 : 12;
  if (text.size() < prefix) fail("the file ends in its header");
  size_t length = 0;
  for (size_t i = prefix; i > 8; --i) length = length << 8 | static_cast<uint8_t>(text[i - 1]);
  if (length > kMaxHeader || length > text.size() - prefix) {
    fail(fmt::format("the header says {} bytes, the file has {}", length, text.size()));
  }
  const Header header = HeaderReader(text.substr(prefix, length), where).read();
  const DType dtype = dtype_of(header.descr, where);
  if (*header.fortran && header.shape->size() > 1) {
    throw Error({.what = "the array is in Fortran order",
                 .where = std::string(where),
                 .hint = "save numpy.ascontiguousarray(array)"});
  }
  const std::string_view data = text.substr(prefix + length);
  const int64_t count = element_count(*header.shape);
  // By division: count * size could overflow.
  if (data.size() % size_of(dtype) != 0 || data.size() / size_of(dtype) != static_cast<uint64_t>(count)) {
    fail(fmt::format("shape {} of {} does not fill the {} bytes of data", to_string(*header.shape),
                     name_of(dtype), data.size()));
  }
  Tensor out(dtype, *header.shape);
  if (!data.empty()) std::memcpy(out.raw().data(), data.data(), data.size());
  return out;
}

Tensor read_npy(const Path& path) {
  const File file = File::open_read(path);
  const uint64_t size = file.size();
  if (size > kMaxFile) {
    throw Error({.what = fmt::format("the file has {} bytes, at most {} are read", size, kMaxFile),
                 .where = path.string()});
  }
  std::vector<std::byte> bytes(size);
  file.read_at(0, bytes);
  return parse_npy(bytes, path.string());
}

std::string npy_header(DType dtype, const Shape& shape) {
  const auto row =
      std::find_if(std::begin(kDescrs), std::end(kDescrs), [&](const Descr& d) { return d.dtype == dtype; });
  if (row == std::end(kDescrs)) {
    throw Error({.what = fmt::format(".npy files have no elements of type {}", name_of(dtype)),
                 .hint = "save a .safetensors file instead"});
  }
  std::string dict = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': (", row->text);
  for (size_t i = 0; i < shape.size(); ++i) {
    dict += fmt::format("{}{}", i > 0 ? ", " : "", shape[i]);
  }
  dict += shape.size() == 1 ? ",), }" : "), }";
  constexpr size_t kAlign = 64, kPrefix = 10;
  dict.append(kAlign - (kPrefix + dict.size() + 1) % kAlign, ' ');
  dict += '\n';
  std::string out(kMagic);
  out += {'\x01', '\x00', static_cast<char>(dict.size() & 0xff), static_cast<char>(dict.size() >> 8)};
  return out + dict;
}

void write_npy(const Path& path, const Tensor& tensor) {
  std::string text = npy_header(tensor.dtype(), tensor.shape());
  text.append(reinterpret_cast<const char*>(tensor.raw().data()), tensor.bytes());
  write_file_atomic(path, text);
}

}  // namespace wanslim
