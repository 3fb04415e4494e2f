// SPDX-License-Identifier: Apache-2.0
#include "io/av.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "base/error.h"
#include "io/av_handles.h"

namespace wanslim {
namespace {

int read_bytes(void* opaque, uint8_t* out, int size) {
  auto* input = static_cast<AvInput*>(opaque);
  const int64_t left = static_cast<int64_t>(input->bytes.size()) - input->at;
  if (left <= 0) return AVERROR_EOF;
  const int64_t count = std::min<int64_t>(left, size);
  std::memcpy(out, input->bytes.data() + input->at, static_cast<size_t>(count));
  input->at += count;
  return static_cast<int>(count);
}

int64_t seek_bytes(void* opaque, int64_t offset, int whence) {
  auto* input = static_cast<AvInput*>(opaque);
  const auto size = static_cast<int64_t>(input->bytes.size());
  if (whence == AVSEEK_SIZE) return size;
  int64_t base = 0;
  if (whence == SEEK_CUR) base = input->at;
  if (whence == SEEK_END) base = size;
  if (offset < -base || offset > size - base) return AVERROR(EINVAL);
  return input->at = base + offset;
}

// The coefficients that the frame says; BT.601 where it says nothing, as FFmpeg does.
const int* coefficients(const AVFrame& frame) {
  const bool known = frame.colorspace != AVCOL_SPC_UNSPECIFIED && frame.colorspace != AVCOL_SPC_RGB;
  return sws_getCoefficients(known ? frame.colorspace : SWS_CS_ITU601);
}

}  // namespace

bool has_av() {
  return true;
}

AvPtr<AVFrame> av_empty_frame() {
  AvPtr<AVFrame> frame(av_frame_alloc());
  CHECK(frame != nullptr);
  return frame;
}

AvPtr<AVPacket> av_empty_packet() {
  AvPtr<AVPacket> packet(av_packet_alloc());
  CHECK(packet != nullptr);
  return packet;
}

void av_keep_quiet() {
  static std::once_flag once;
  std::call_once(once, [] { av_log_set_level(AV_LOG_QUIET); });
}

void av_fail(std::string_view what, int code, std::string_view where) {
  char text[AV_ERROR_MAX_STRING_SIZE] = "";
  av_strerror(code, text, sizeof text);
  throw Error({.what = fmt::format("{}: {}", what, text), .where = std::string(where)});
}

AvPtr<AVIOContext> av_open_input(AvInput& input) {
  constexpr int kBuffer = 65536;
  auto* buffer = static_cast<unsigned char*>(av_malloc(kBuffer));
  CHECK(buffer != nullptr);
  AvPtr<AVIOContext> io(avio_alloc_context(buffer, kBuffer, 0, &input, read_bytes, nullptr, seek_bytes));
  CHECK(io != nullptr);
  return io;
}

SwsContext* AvColours::prepare(int width, int height, AVPixelFormat from, AVPixelFormat to) {
  if (sws_ == nullptr || width != width_ || height != height_ || from != from_ || to != to_) {
    constexpr int kExact = SWS_BICUBIC | SWS_ACCURATE_RND | SWS_BITEXACT | SWS_FULL_CHR_H_INT;
    sws_.reset(sws_getContext(width, height, from, width, height, to, kExact, nullptr, nullptr, nullptr));
    width_ = width, height_ = height, from_ = from, to_ = to;
    // libswscale writes whole vectors: rows of its own with room at the end.
    rgb_ = av_empty_frame();
    rgb_->width = width, rgb_->height = height, rgb_->format = AV_PIX_FMT_RGB24;
    CHECK(av_frame_get_buffer(rgb_.get(), 64) == 0);
  }
  return sws_.get();
}

void AvColours::to_rgb(const AVFrame& frame, std::span<uint8_t> rgb, std::string_view where) {
  const auto row = static_cast<size_t>(frame.width) * 3;
  CHECK(rgb.size() == row * static_cast<size_t>(frame.height));
  SwsContext* sws =
      prepare(frame.width, frame.height, static_cast<AVPixelFormat>(frame.format), AV_PIX_FMT_RGB24);
  if (sws == nullptr) {
    const char* name = av_get_pix_fmt_name(static_cast<AVPixelFormat>(frame.format));
    throw Error({.what = fmt::format("pixels of type {} cannot be converted", name != nullptr ? name : "?"),
                 .where = std::string(where)});
  }
  const int* table = coefficients(frame);
  const AVPixFmtDescriptor* kind = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
  const bool full =
      frame.color_range == AVCOL_RANGE_JPEG || (kind != nullptr && (kind->flags & AV_PIX_FMT_FLAG_RGB));
  sws_setColorspaceDetails(sws, table, full, sws_getCoefficients(SWS_CS_ITU601), 1, 0, 1 << 16, 1 << 16);
  sws_scale(sws, frame.data, frame.linesize, 0, frame.height, rgb_->data, rgb_->linesize);
  for (int y = 0; y < frame.height; ++y) {
    std::memcpy(&rgb[static_cast<size_t>(y) * row], rgb_->data[0] + ptrdiff_t{y} * rgb_->linesize[0], row);
  }
}

void AvColours::from_rgb(std::span<const uint8_t> rgb, int64_t width, int64_t height, AVFrame& frame) {
  SwsContext* sws =
      prepare(frame.width, frame.height, AV_PIX_FMT_RGB24, static_cast<AVPixelFormat>(frame.format));
  CHECK(sws != nullptr);
  const auto row = static_cast<size_t>(width) * 3;
  for (int64_t y = 0; y < frame.height; ++y) {
    uint8_t* out = rgb_->data[0] + y * rgb_->linesize[0];
    std::memcpy(out, &rgb[static_cast<size_t>(std::min(y, height - 1)) * row], row);
    for (int64_t x = width; x < frame.width; ++x) std::memcpy(out + x * 3, out + (width - 1) * 3, 3);
  }
  const int* table = sws_getCoefficients(SWS_CS_ITU601);
  sws_setColorspaceDetails(sws, table, 1, table, 0, 0, 1 << 16, 1 << 16);
  sws_scale(sws, rgb_->data, rgb_->linesize, 0, frame.height, frame.data, frame.linesize);
}

}  // namespace wanslim
