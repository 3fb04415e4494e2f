// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "io/av.h"
#include "io/av_handles.h"

namespace wanslim {
namespace {

// A file in memory: the muxer goes back to fill in sizes.
struct Output {
  std::string bytes = {};
  size_t at = 0;
};

int write_bytes(void* opaque, uint8_t* data, int size) {
  auto* out = static_cast<Output*>(opaque);
  try {
    const size_t end = out->at + static_cast<size_t>(size);
    if (end > out->bytes.size()) out->bytes.resize(end);
    std::memcpy(&out->bytes[out->at], data, static_cast<size_t>(size));
    out->at = end;
  } catch (const std::bad_alloc&) {
    return AVERROR(ENOMEM);
  }
  return size;
}

int64_t seek_bytes(void* opaque, int64_t offset, int whence) {
  auto* out = static_cast<Output*>(opaque);
  const auto size = static_cast<int64_t>(out->bytes.size());
  if (whence == AVSEEK_SIZE) return size;
  if (whence == SEEK_CUR) offset += static_cast<int64_t>(out->at);
  if (whence == SEEK_END) offset += size;
  if (offset < 0 || offset > size) return AVERROR(EINVAL);
  out->at = static_cast<size_t>(offset);
  return offset;
}

struct FreeFormat {
  void operator()(AVFormatContext* p) const { avformat_free_context(p); }
};

void must(int code, std::string_view what) {
  if (code < 0) av_fail(what, code, {});
}

AvPtr<AVCodecContext> open_encoder(const Frames& frames, int crf, bool global_header) {
  const AVCodec* codec = avcodec_find_encoder_by_name("libx264");
  if (codec == nullptr) {
    throw Error(
        {.what = "this build of libavcodec has no libx264", .hint = "save a GIF or PNG files instead"});
  }
  AvPtr<AVCodecContext> c(avcodec_alloc_context3(codec));
  CHECK(c != nullptr);
  c->width = static_cast<int>(frames.width + frames.width % 2);
  c->height = static_cast<int>(frames.height + frames.height % 2);
  c->pix_fmt = AV_PIX_FMT_YUV420P;
  c->framerate = av_d2q(frames.fps, 1001000);
  c->time_base = av_inv_q(c->framerate);
  c->colorspace = AVCOL_SPC_SMPTE170M;
  c->color_range = AVCOL_RANGE_MPEG;
  // x264's output depends on its number of threads and, with several, now and then on their timing.
  c->thread_count = 1;
  c->flags |= AV_CODEC_FLAG_BITEXACT | (global_header ? AV_CODEC_FLAG_GLOBAL_HEADER : 0);
  must(av_opt_set(c->priv_data, "crf", fmt::format("{}", crf).c_str(), 0), "x264 refuses its options");
  must(av_opt_set(c->priv_data, "preset", "medium", 0), "x264 refuses its options");
  must(avcodec_open2(c.get(), codec, nullptr), "cannot start the H.264 encoder");
  return c;
}

// Encodes one frame (null: the end) and writes the packets that come out.
void encode(AVCodecContext* encoder, const AVFrame* frame, AVFormatContext* format, AVPacket* packet) {
  must(avcodec_send_frame(encoder, frame), "the H.264 encoder failed");
  for (;;) {
    const int e = avcodec_receive_packet(encoder, packet);
    if (e == AVERROR(EAGAIN) || e == AVERROR_EOF) return;
    must(e, "the H.264 encoder failed");
    packet->duration = 1;
    av_packet_rescale_ts(packet, encoder->time_base, format->streams[0]->time_base);
    must(av_interleaved_write_frame(format, packet), "cannot write the MP4");
  }
}

}  // namespace

std::string av_encode_mp4(const Frames& frames, int crf) {
  av_keep_quiet();
  CHECK(frames.count > 0 && frames.rgb.size() == static_cast<size_t>(frames.count) * frames.frame_bytes());
  CHECK(frames.fps >= 0.01 && frames.fps <= 1000 && crf >= 0 && crf <= 51);
  AVFormatContext* raw = nullptr;
  must(avformat_alloc_output_context2(&raw, nullptr, "mp4", nullptr), "cannot make an MP4");
  const std::unique_ptr<AVFormatContext, FreeFormat> format(raw);
  Output output;
  constexpr int kBuffer = 65536;
  auto* buffer = static_cast<unsigned char*>(av_malloc(kBuffer));
  CHECK(buffer != nullptr);
  const AvPtr<AVIOContext> io(
      avio_alloc_context(buffer, kBuffer, 1, &output, nullptr, write_bytes, seek_bytes));
  CHECK(io != nullptr);
  raw->pb = io.get();
  raw->flags |= AVFMT_FLAG_BITEXACT;

  const AvPtr<AVCodecContext> encoder =
      open_encoder(frames, crf, (raw->oformat->flags & AVFMT_GLOBALHEADER) != 0);
  AVStream* stream = avformat_new_stream(raw, nullptr);
  CHECK(stream != nullptr);
  must(avcodec_parameters_from_context(stream->codecpar, encoder.get()), "cannot make an MP4");
  stream->time_base = encoder->time_base;
  stream->avg_frame_rate = encoder->framerate;
  must(avformat_write_header(raw, nullptr), "cannot write the MP4");

  const AvPtr<AVPacket> packet = av_empty_packet();
  AvColours colours;
  for (int64_t i = 0; i < frames.count; ++i) {
    const AvPtr<AVFrame> frame = av_empty_frame();
    frame->width = encoder->width;
    frame->height = encoder->height;
    frame->format = encoder->pix_fmt;
    CHECK(av_frame_get_buffer(frame.get(), 64) == 0);
    colours.from_rgb(frames.frame(i), frames.width, frames.height, *frame);
    frame->pts = i;
    encode(encoder.get(), frame.get(), raw, packet.get());
  }
  encode(encoder.get(), nullptr, raw, packet.get());
  must(av_write_trailer(raw), "cannot write the MP4");
  avio_flush(io.get());
  return std::move(output.bytes);
}

}  // namespace wanslim
