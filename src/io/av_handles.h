// SPDX-License-Identifier: Apache-2.0
// FFmpeg's objects with owners, for av*.cc alone.
#pragma once
extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "io/frames.h"

namespace wanslim {

struct AvFree {
  void operator()(AVCodecContext* p) const { avcodec_free_context(&p); }
  void operator()(AVFrame* p) const { av_frame_free(&p); }
  void operator()(AVPacket* p) const { av_packet_free(&p); }
  void operator()(SwsContext* p) const { sws_freeContext(p); }
  void operator()(AVIOContext* p) const {
    av_freep(&p->buffer);
    avio_context_free(&p);
  }
};
template <class T>
using AvPtr = std::unique_ptr<T, AvFree>;

// Frame, packet; out of memory is a CHECK.
AvPtr<AVFrame> av_empty_frame();
AvPtr<AVPacket> av_empty_packet();

// Keeps FFmpeg from writing to stderr; called before any other use.
void av_keep_quiet();

// "what: FFmpeg's words for `code`" as an Error.
[[noreturn]] void av_fail(std::string_view what, int code, std::string_view where);

// Bytes in memory as FFmpeg's stream; `input` must outlive it.
struct AvInput {
  std::span<const std::byte> bytes;
  int64_t at = 0;
};
AvPtr<AVIOContext> av_open_input(AvInput& input);

// Converts between the frame and RGB rows with exact, machine independent arithmetic. One object for all
// frames of a stream; it adapts when the format changes.
class AvColours {
 public:
  // `rgb` has the frame's size.
  void to_rgb(const AVFrame& frame, std::span<uint8_t> rgb, std::string_view where);
  // `frame` is writable yuv420p with even sides; rgb of width x height fills it, its last column and row
  // repeated.
  void from_rgb(std::span<const uint8_t> rgb, int64_t width, int64_t height, AVFrame& frame);

 private:
  SwsContext* prepare(int width, int height, AVPixelFormat from, AVPixelFormat to);
  AvPtr<SwsContext> sws_;
  AvPtr<AVFrame> rgb_;
  int width_ = 0, height_ = 0;
  AVPixelFormat from_ = AV_PIX_FMT_NONE, to_ = AV_PIX_FMT_NONE;
};

}  // namespace wanslim
