// SPDX-License-Identifier: Apache-2.0
#include "io/gif.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace wanslim {
namespace {

using Colour = std::array<uint8_t, 3>;

// Pixels are counted in cells of 5 bits a channel.
constexpr size_t kCells = 32 * 32 * 32, kColours = 256;
size_t cell_of(const Colour& c) {
  return size_t{c[0]} >> 3 << 10 | size_t{c[1]} >> 3 << 5 | size_t{c[2]} >> 3;
}

struct Cell {
  uint64_t count = 0;
  std::array<uint64_t, 3> sum = {};
  int mean(size_t channel) const { return static_cast<int>(sum[channel] / count); }
};

// A range of cells that shares a palette entry for now.
struct Box {
  size_t begin = 0, end = 0;
  uint64_t count = 0;
  size_t axis = 0;  // its longest one
  int64_t extent = 0;
  uint64_t weight() const { return end - begin > 1 ? static_cast<uint64_t>(extent) * count : 0; }
};

Box box_of(const std::vector<Cell>& cells, size_t begin, size_t end) {
  Box box{.begin = begin, .end = end};
  for (size_t axis = 0; axis < 3; ++axis) {
    int low = 255, high = 0;
    for (size_t i = begin; i < end; ++i) {
      low = std::min(low, cells[i].mean(axis));
      high = std::max(high, cells[i].mean(axis));
    }
    if (high - low > box.extent) {
      box.extent = high - low;
      box.axis = axis;
    }
  }
  for (size_t i = begin; i < end; ++i) box.count += cells[i].count;
  return box;
}

Colour mean_of(const std::vector<Cell>& cells, const Box& box) {
  Colour out{};
  for (size_t axis = 0; axis < 3; ++axis) {
    uint64_t sum = 0;
    for (size_t i = box.begin; i < box.end; ++i) sum += cells[i].sum[axis];
    out[axis] = static_cast<uint8_t>((sum + box.count / 2) / box.count);
  }
  return out;
}

std::vector<Cell> used_cells(const Frames& frames) {
  std::vector<Cell> all(kCells);
  for (size_t i = 0; i < frames.rgb.size(); i += 3) {
    Cell& cell = all[cell_of({frames.rgb[i], frames.rgb[i + 1], frames.rgb[i + 2]})];
    ++cell.count;
    for (size_t c = 0; c < 3; ++c) cell.sum[c] += frames.rgb[i + c];
  }
  std::vector<Cell> used;
  for (const Cell& cell : all) {
    if (cell.count > 0) used.push_back(cell);
  }
  return used;
}

uint8_t nearest_entry(const std::vector<Colour>& palette, const Colour& colour) {
  size_t best = 0;
  int least = 1 << 30;
  for (size_t i = 0; i < palette.size(); ++i) {
    int distance = 0;
    for (size_t c = 0; c < 3; ++c) {
      const int d = int{palette[i][c]} - colour[c];
      distance += d * d;
    }
    if (distance < least) {
      least = distance;
      best = i;
    }
  }
  return static_cast<uint8_t>(best);
}

// Palette entries for the middles of all cells, found when first needed.
class Mapper {
 public:
  explicit Mapper(const std::vector<Colour>& palette) : palette_(palette), entry_(kCells, -1) {}

  std::vector<uint8_t> map(std::span<const uint8_t> rgb, size_t width) {
    // Bayer's 4 x 4 matrix, as offsets of up to 3.75 around 0: half a cell.
    static constexpr int kBayer[4][4] = {{0, 8, 2, 10}, {12, 4, 14, 6}, {3, 11, 1, 9}, {15, 7, 13, 5}};
    std::vector<uint8_t> out(rgb.size() / 3);
    for (size_t i = 0; i < out.size(); ++i) {
      const int offset = (kBayer[i / width % 4][i % width % 4] * 2 - 15) / 4;
      Colour c{};
      for (size_t k = 0; k < 3; ++k) c[k] = static_cast<uint8_t>(std::clamp(rgb[i * 3 + k] + offset, 0, 255));
      int16_t& entry = entry_[cell_of(c)];
      if (entry < 0) {
        for (uint8_t& x : c) x = static_cast<uint8_t>((x & 0xf8) | 4);
        entry = nearest_entry(palette_, c);
      }
      out[i] = static_cast<uint8_t>(entry);
    }
    return out;
  }

 private:
  const std::vector<Colour>& palette_;
  std::vector<int16_t> entry_;
};

void put16(std::string& out, int64_t value) {
  out += static_cast<char>(value & 0xff);
  out += static_cast<char>(value >> 8 & 0xff);
}

}  // namespace

std::vector<Colour> median_cut(const Frames& frames) {
  std::vector<Cell> cells = used_cells(frames);
  std::vector<Box> boxes = {box_of(cells, 0, cells.size())};
  while (boxes.size() < kColours) {
    const auto widest = std::max_element(boxes.begin(), boxes.end(),
                                         [](const Box& a, const Box& b) { return a.weight() < b.weight(); });
    if (widest->weight() == 0) break;
    const Box box = *widest;
    const size_t axis = box.axis;
    const auto at = [&](size_t i) { return cells.begin() + static_cast<ptrdiff_t>(i); };
    std::stable_sort(at(box.begin), at(box.end),
                     [axis](const Cell& a, const Cell& b) { return a.mean(axis) < b.mean(axis); });
    size_t middle = box.begin + 1;
    for (uint64_t below = cells[box.begin].count; middle + 1 < box.end && below * 2 < box.count; ++middle) {
      below += cells[middle].count;
    }
    *widest = box_of(cells, box.begin, middle);
    boxes.push_back(box_of(cells, middle, box.end));
  }
  std::vector<Colour> palette;
  for (const Box& box : boxes) palette.push_back(mean_of(cells, box));
  return palette;
}

// Codes of 9 to 12 bits, least significant bit first, in blocks of up to 255 bytes; 256 clears the table, 257
// ends.
std::string lzw_compress(std::span<const uint8_t> indices) {
  constexpr uint32_t kClear = 256, kEnd = 257, kFull = 4095, kNone = 4096;  // giflib too never uses code 4095
  std::string packed;
  uint64_t bits = 0;
  int filled = 0, width = 9;
  const auto put = [&](uint32_t code) {
    bits |= uint64_t{code} << filled;
    for (filled += width; filled >= 8; filled -= 8, bits >>= 8) packed += static_cast<char>(bits & 0xff);
  };
  // next[prefix * 256 + byte]: the code of that string, 0 for none.
  std::vector<uint16_t> next(size_t{kFull} * 256);
  uint32_t free_code = kEnd + 1;
  put(kClear);
  uint32_t prefix = kNone;
  for (const uint8_t byte : indices) {
    if (prefix == kNone) {
      prefix = byte;
      continue;
    }
    uint16_t& known = next[size_t{prefix} * 256 + byte];
    if (known != 0) {
      prefix = known;
      continue;
    }
    put(prefix);
    if (free_code == kFull) {
      put(kClear);
      std::fill(next.begin(), next.end(), uint16_t{0});
      free_code = kEnd + 1;
      width = 9;
    } else {
      if (free_code == uint32_t{1} << width) ++width;
      known = static_cast<uint16_t>(free_code++);
    }
    prefix = byte;
  }
  if (prefix != kNone) {
    put(prefix);
    // The reader makes an entry for this code too, and so may widen its codes before the end mark.
    if (free_code == uint32_t{1} << width && width < 12) ++width;
  }
  put(kEnd);
  if (filled > 0) packed += static_cast<char>(bits & 0xff);

  std::string out;
  for (size_t i = 0; i < packed.size(); i += 255) {
    const std::string_view block = std::string_view(packed).substr(i, 255);
    out += static_cast<char>(block.size());
    out += block;
  }
  out += '\0';
  return out;
}

std::string encode_gif(const Frames& frames) {
  CHECK(frames.count > 0 && frames.rgb.size() == static_cast<size_t>(frames.count) * frames.frame_bytes());
  if (frames.width > 65535 || frames.height > 65535) {
    throw Error({.what = fmt::format("a GIF cannot have {} x {} pixels", frames.width, frames.height)});
  }
  std::vector<Colour> palette = median_cut(frames);
  Mapper mapper(palette);
  std::string out = "GIF89a";
  put16(out, frames.width);
  put16(out, frames.height);
  out += std::string("\xf7\0\0", 3);  // global table of 256 colours
  for (size_t i = 0; i < kColours; ++i) {
    const Colour c = i < palette.size() ? palette[i] : Colour{};
    out.append(c.begin(), c.end());
  }
  out += std::string("\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0", 19);  // repeat forever
  for (int64_t i = 0; i < frames.count; ++i) {
    const double hundredths = 100 / std::clamp(frames.fps, 0.01, 100.0);
    const auto until = [&](int64_t frame) { return std::llround(static_cast<double>(frame) * hundredths); };
    out += std::string("\x21\xf9\x04\x04", 4);
    put16(out, std::min<int64_t>(until(i + 1) - until(i), 65535));
    out += std::string("\0\0\x2c\0\0\0\0", 7);
    put16(out, frames.width);
    put16(out, frames.height);
    out += std::string("\0\x08", 2);
    out += lzw_compress(mapper.map(frames.frame(i), static_cast<size_t>(frames.width)));
  }
  out += '\x3b';
  return out;
}

}  // namespace wanslim
