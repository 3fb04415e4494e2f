// SPDX-License-Identifier: Apache-2.0
#include "eval/pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "eval/font.h"

namespace wanslim {
namespace {

constexpr uint8_t kBackground = 24;
constexpr Rgb kText = {230, 230, 230};
constexpr int64_t kGap = 4;  // pixels between panels
constexpr int64_t kThumbWidth = 400;

// One frame as a picture of its own, made smaller by a whole factor (mean of the pixels of a cell).
Frames still(const Frames& video, int64_t t, int64_t factor) {
  Frames out =
      make_frames(1, std::max<int64_t>(video.height / factor, 1), std::max<int64_t>(video.width / factor, 1));
  const std::span<const uint8_t> src = video.frame(t);
  const int64_t rows = std::min(factor, video.height), columns = std::min(factor, video.width);
  for (int64_t y = 0; y < out.height; ++y) {
    for (int64_t x = 0; x < out.width; ++x) {
      for (int64_t c = 0; c < 3; ++c) {
        int64_t sum = 0;
        for (int64_t i = 0; i < rows * columns; ++i) {
          const int64_t from_y = y * factor + i / columns, from_x = x * factor + i % columns;
          sum += src[static_cast<size_t>((from_y * video.width + from_x) * 3 + c)];
        }
        out.rgb[static_cast<size_t>((y * out.width + x) * 3 + c)] =
            static_cast<uint8_t>((sum + rows * columns / 2) / (rows * columns));
      }
    }
  }
  return out;
}

Frames difference(const Frames& a, const Frames& b) {
  Frames out = make_frames(1, a.height, a.width);
  for (size_t i = 0; i < out.rgb.size(); ++i) {
    out.rgb[i] = static_cast<uint8_t>(std::min(std::abs(int{a.rgb[i]} - b.rgb[i]) * kDifferenceGain, 255));
  }
  return out;
}

void paste(const Frames& picture, Frames& canvas, int64_t frame, int64_t x, int64_t y) {
  const auto row = static_cast<size_t>(picture.width) * 3;
  const std::span<uint8_t> to = canvas.frame(frame);
  for (int64_t i = 0; i < picture.height; ++i) {
    const auto src = std::span(picture.rgb).subspan(static_cast<size_t>(i) * row, row);
    std::copy(src.begin(), src.end(), to.begin() + ((y + i) * canvas.width + x) * 3);
  }
}

Frames canvas_of(int64_t count, int64_t height, int64_t width) {
  Frames out = make_frames(count, height, width);
  std::fill(out.rgb.begin(), out.rgb.end(), kBackground);
  return out;
}

std::string number(double x, int digits) {
  if (std::isnan(x)) return "-";
  return std::isinf(x) ? "inf" : fmt::format("{:.{}f}", x, digits);
}

std::string numbers_of(const FrameMetrics& m) {
  return fmt::format("PSNR {}  SSIM {}  dT {}", number(m.psnr, 1), number(m.ssim, 3), number(m.temporal, 2));
}

std::string difference_label() {
  return fmt::format("{} x |A - B|", kDifferenceGain);
}

}  // namespace

Frames side_by_side(const VideoPair& pair) {
  const Frames &a = pair.a, &b = pair.b;
  CHECK(a.count == b.count && a.height == b.height && a.width == b.width);
  CHECK(static_cast<int64_t>(pair.metrics.frames.size()) == a.count);
  const int64_t scale = std::max<int64_t>(a.width / 300, 1), band = kGlyphHeight * scale;
  const int64_t step = a.width + kGap;
  Frames out = canvas_of(a.count, a.height + 2 * band, 3 * a.width + 2 * kGap);
  out.fps = a.fps;
  for (int64_t t = 0; t < a.count; ++t) {
    const Frames left = still(a, t, 1), right = still(b, t, 1);
    paste(left, out, t, 0, band);
    paste(right, out, t, step, band);
    paste(difference(left, right), out, t, 2 * step, band);
    draw_text(out, t, scale, 0, fit_text("A " + pair.label_a, a.width, scale), kText, scale);
    draw_text(out, t, step + scale, 0, fit_text("B " + pair.label_b, a.width, scale), kText, scale);
    draw_text(out, t, 2 * step + scale, 0, fit_text(difference_label(), a.width, scale), kText, scale);
    const std::string line =
        fmt::format("frame {}  {}", t, numbers_of(pair.metrics.frames[static_cast<size_t>(t)]));
    draw_text(out, t, scale, band + a.height, fit_text(line, out.width, scale), kText, scale);
  }
  return out;
}

Frames contact_sheet(const VideoPair& pair, int64_t columns) {
  const Frames &a = pair.a, &b = pair.b;
  CHECK(columns >= 1 && a.count >= 1);
  const int64_t count = std::min(columns, a.count), factor = (a.width + kThumbWidth - 1) / kThumbWidth;
  const Frames probe = still(a, 0, factor);
  const int64_t scale = std::max<int64_t>(probe.width / 200, 1), band = kGlyphHeight * scale;
  // Lines of text: title, labels of the three rows, the numbers of a frame, the total.
  const int64_t row = band + probe.height + kGap;
  Frames out = canvas_of(1, 3 * row + 3 * band, count * (probe.width + kGap) - kGap);
  const auto write = [&](int64_t x, int64_t y, const std::string& text, int64_t width) {
    draw_text(out, 0, x + scale, y, fit_text(text, width, scale), kText, scale);
  };
  write(0, 0, "A " + pair.label_a, out.width);
  write(0, row, "B " + pair.label_b, out.width);
  write(0, 2 * row, difference_label(), out.width);
  for (int64_t k = 0; k < count; ++k) {
    const int64_t t = count > 1 ? k * (a.count - 1) / (count - 1) : 0, x = k * (probe.width + kGap);
    paste(still(a, t, factor), out, 0, x, band);
    paste(still(b, t, factor), out, 0, x, row + band);
    const Frames whole = difference(still(a, t, 1), still(b, t, 1));
    paste(still(whole, 0, factor), out, 0, x, 2 * row + band);
    write(x, 3 * row, fmt::format("frame {}", t), probe.width);
    write(x, 3 * row + band, numbers_of(pair.metrics.frames[static_cast<size_t>(t)]), probe.width);
  }
  write(0, 3 * row + 2 * band, fmt::format("all {} frames  {}", a.count, numbers_of(pair.metrics.total)),
        out.width);
  return out;
}

}  // namespace wanslim
