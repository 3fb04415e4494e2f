// SPDX-License-Identifier: Apache-2.0
// libpng reports errors by longjmp. Each step that may jump is a function whose locals have no destructors;
// what must be freed lives in its caller.
#include "io/png.h"

#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "base/error.h"

namespace wanslim {
namespace {

struct Reader {
  std::span<const std::byte> left;
  char message[128] = "";
};

struct Handles {
  png_structp png = nullptr;
  png_infop info = nullptr;
};

struct ReadHandles : Handles {
  ~ReadHandles() { png_destroy_read_struct(&png, &info, nullptr); }
};
struct WriteHandles : Handles {
  ~WriteHandles() { png_destroy_write_struct(&png, &info); }
};

template <class State>
void on_error(png_structp png, png_const_charp text) {
  auto* state = static_cast<State*>(png_get_error_ptr(png));
  std::strncpy(state->message, text, sizeof state->message - 1);
  png_longjmp(png, 1);
}
void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep out, size_t size) {
  auto* reader = static_cast<Reader*>(png_get_io_ptr(png));
  if (size > reader->left.size()) png_error(png, "the file ends too early");
  std::memcpy(out, reader->left.data(), size);
  reader->left = reader->left.subspan(size);
}

// Reads all up to the pixels and asks for 8-bit RGB. False if libpng complained.
bool read_header(Handles& h, Reader* reader, uint32_t max_side) {
  if (setjmp(png_jmpbuf(h.png)) != 0) return false;
  png_set_read_fn(h.png, reader, on_read);
  png_set_user_limits(h.png, max_side, max_side);
  png_set_chunk_cache_max(h.png, 128);
  png_set_chunk_malloc_max(h.png, 8 << 20);
  png_read_info(h.png, h.info);
  png_set_strip_16(h.png);
  png_set_palette_to_rgb(h.png);
  png_set_expand_gray_1_2_4_to_8(h.png);
  png_set_gray_to_rgb(h.png);
  png_set_strip_alpha(h.png);
  png_set_interlace_handling(h.png);
  png_read_update_info(h.png, h.info);
  return true;
}

bool read_pixels(Handles& h, png_bytepp rows) {
  if (setjmp(png_jmpbuf(h.png)) != 0) return false;
  png_read_image(h.png, rows);
  png_read_end(h.png, nullptr);
  return true;
}

struct Writer {
  std::string* out = nullptr;
  char message[128] = "";
};

void on_write(png_structp png, png_bytep bytes, size_t size) {
  static_cast<Writer*>(png_get_io_ptr(png))->out->append(reinterpret_cast<const char*>(bytes), size);
}
void on_flush(png_structp) {}

bool write_all(Handles& h, Writer* writer, uint32_t width, uint32_t height, const uint8_t* pixels) {
  if (setjmp(png_jmpbuf(h.png)) != 0) return false;
  png_set_write_fn(h.png, writer, on_write, on_flush);
  png_set_IHDR(h.png, h.info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_BASE, PNG_FILTER_TYPE_BASE);
  png_write_info(h.png, h.info);
  for (uint32_t y = 0; y < height; ++y) png_write_row(h.png, pixels + size_t{y} * width * 3);
  png_write_end(h.png, nullptr);
  return true;
}

}  // namespace

bool has_png() {
  return true;
}

Frames decode_png(std::span<const std::byte> bytes, std::string_view where, const FrameLimits& limits) {
  Reader reader{.left = bytes};
  ReadHandles h;
  const auto fail = [&] {
    throw Error({.what = fmt::format("broken PNG file: {}", reader.message), .where = std::string(where)});
  };
  h.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error<Reader>, on_warning);
  CHECK(h.png != nullptr);
  h.info = png_create_info_struct(h.png);
  CHECK(h.info != nullptr);
  if (!read_header(h, &reader, static_cast<uint32_t>(limits.max_side))) fail();
  const int64_t width = png_get_image_width(h.png, h.info), height = png_get_image_height(h.png, h.info);
  check_limits(limits, 1, height, width, where);
  CHECK(png_get_rowbytes(h.png, h.info) == static_cast<size_t>(width) * 3);
  Frames out = make_frames(1, height, width);
  std::vector<png_bytep> rows(static_cast<size_t>(height));
  for (size_t y = 0; y < rows.size(); ++y) rows[y] = &out.rgb[y * static_cast<size_t>(width) * 3];
  if (!read_pixels(h, rows.data())) fail();
  return out;
}

std::string encode_png(const Frames& picture) {
  CHECK(picture.count == 1 && picture.rgb.size() == picture.frame_bytes());
  std::string out;
  Writer writer{.out = &out};
  WriteHandles h;
  h.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &writer, on_error<Writer>, on_warning);
  CHECK(h.png != nullptr);
  h.info = png_create_info_struct(h.png);
  CHECK(h.info != nullptr);
  if (!write_all(h, &writer, static_cast<uint32_t>(picture.width), static_cast<uint32_t>(picture.height),
                 picture.rgb.data())) {
    throw Error({.what = fmt::format("cannot encode the PNG: {}", writer.message)});
  }
  return out;
}

}  // namespace wanslim
