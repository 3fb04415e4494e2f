// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "io/av.h"
#include "io/av_handles.h"

namespace wanslim {
namespace {

constexpr char kFormats[] = "mov,mp4,matroska,webm,gif";
constexpr char kCodecs[] = "h264,hevc,vp8,vp9,mpeg4,libdav1d,gif,mjpeg,ffv1,png";

struct CloseInput {
  void operator()(AVFormatContext* p) const { avformat_close_input(&p); }
};

int refuse_open(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EPERM);
}

AvPtr<AVCodecContext> open_decoder(const AVCodec* codec, const AVCodecParameters* parameters,
                                   std::string_view where, const FrameLimits& limits) {
  AvPtr<AVCodecContext> context(avcodec_alloc_context3(codec));
  CHECK(context != nullptr);
  if (parameters != nullptr) {
    if (const int e = avcodec_parameters_to_context(context.get(), parameters); e < 0) {
      av_fail("broken video header", e, where);
    }
  }
  context->err_recognition = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER | AV_EF_EXPLODE;
  context->flags |= AV_CODEC_FLAG_BITEXACT;
  context->max_pixels = limits.max_bytes / 3;
  context->thread_count = 1;
  if (const int e = avcodec_open2(context.get(), codec, nullptr); e < 0) av_fail("cannot decode", e, where);
  return context;
}

// Collects decoded frames; all must have the size of the first one.
struct Collector {
  std::string_view where;
  const FrameLimits& limits;
  AVRational time_base = {1, 1};
  AvColours colours = {};
  Frames out = {};

  void add(const AVFrame& frame) {
    check_limits(limits, out.count + 1, frame.height, frame.width, where);
    if (out.count == 0) {
      out.height = frame.height;
      out.width = frame.width;
    } else if (frame.height != out.height || frame.width != out.width) {
      throw Error({.what = fmt::format("frame {} has {} x {} pixels, the frames before it {} x {}", out.count,
                                       frame.width, frame.height, out.width, out.height),
                   .where = std::string(where)});
    }
    if ((frame.flags & AV_FRAME_FLAG_CORRUPT) != 0 || frame.decode_error_flags != 0) {
      throw Error({.what = fmt::format("frame {} is damaged", out.count), .where = std::string(where)});
    }
    out.rgb.resize(out.rgb.size() + out.frame_bytes());
    colours.to_rgb(frame, out.frame(out.count), where);
    ++out.count;
    const bool timed = frame.best_effort_timestamp != AV_NOPTS_VALUE;
    out.times.push_back(timed ? static_cast<double>(frame.best_effort_timestamp) * av_q2d(time_base) : NAN);
  }
};

// Sends one packet (null: the end) and collects what comes out.
void decode(AVCodecContext* decoder, const AVPacket* packet, AVFrame* frame, Collector& collector) {
  if (const int e = avcodec_send_packet(decoder, packet); e < 0 && e != AVERROR_EOF) {
    av_fail("broken picture data", e, collector.where);
  }
  for (;;) {
    const int e = avcodec_receive_frame(decoder, frame);
    if (e == AVERROR(EAGAIN) || e == AVERROR_EOF) return;
    if (e < 0) av_fail("broken picture data", e, collector.where);
    collector.add(*frame);
    av_frame_unref(frame);
  }
}

// Times from 0 on; evenly spaced ones where the file has none or they do not rise.
void settle_times(Frames& frames, AVRational rate) {
  const double fps = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
  frames.fps = fps >= 0.01 && fps <= 1000 ? fps : 16;
  const double start = frames.times[0];
  bool rising = true;
  for (size_t i = 0; i < frames.times.size(); ++i) {
    frames.times[i] -= start;
    rising &= i == 0 ? std::isfinite(start) : frames.times[i] > frames.times[i - 1];
  }
  if (rising) return;
  for (size_t i = 0; i < frames.times.size(); ++i) frames.times[i] = static_cast<double>(i) / frames.fps;
}

AVCodecID picture_codec(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.substr(0, 3) == "\xff\xd8\xff") return AV_CODEC_ID_MJPEG;
  if (text.substr(0, 4) == "RIFF" && text.size() > 12 && text.substr(8, 4) == "WEBP") return AV_CODEC_ID_WEBP;
  return AV_CODEC_ID_NONE;
}

}  // namespace

Frames av_decode_picture(std::span<const std::byte> bytes, std::string_view where,
                         const FrameLimits& limits) {
  av_keep_quiet();
  const AVCodecID id = picture_codec(bytes);
  const AVCodec* codec = id == AV_CODEC_ID_NONE ? nullptr : avcodec_find_decoder(id);
  if (codec == nullptr || bytes.size() > (size_t{1} << 30)) {
    throw Error({.what = "this is not a picture in PNG, JPEG or WebP", .where = std::string(where)});
  }
  // FFmpeg conceals a missing end of a JPEG instead of reporting it.
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (id == AV_CODEC_ID_MJPEG && text.rfind("\xff\xd9") == std::string_view::npos) {
    throw Error({.what = "the JPEG file ends too early", .where = std::string(where)});
  }
  const AvPtr<AVCodecContext> decoder = open_decoder(codec, nullptr, where, limits);
  const AvPtr<AVPacket> packet = av_empty_packet();
  CHECK(av_new_packet(packet.get(), static_cast<int>(bytes.size())) == 0);
  std::memcpy(packet->data, bytes.data(), bytes.size());
  const AvPtr<AVFrame> frame = av_empty_frame();
  Collector collector{.where = where, .limits = limits};
  decode(decoder.get(), packet.get(), frame.get(), collector);
  decode(decoder.get(), nullptr, frame.get(), collector);
  if (collector.out.count != 1) {
    throw Error({.what = fmt::format("the file has {} pictures, expected one", collector.out.count),
                 .where = std::string(where)});
  }
  const AVPixFmtDescriptor* kind = av_pix_fmt_desc_get(decoder->pix_fmt);
  if (id == AV_CODEC_ID_MJPEG && kind != nullptr && (kind->flags & AV_PIX_FMT_FLAG_ALPHA) != 0) {
    throw Error({.what = "CMYK pictures are not supported",
                 .where = std::string(where),
                 .hint = "convert it to RGB"});
  }
  collector.out.times.clear();
  return std::move(collector.out);
}

Frames av_decode_video(std::span<const std::byte> bytes, std::string_view where, const FrameLimits& limits) {
  av_keep_quiet();
  AvInput input{.bytes = bytes};
  const AvPtr<AVIOContext> io = av_open_input(input);
  AVFormatContext* raw = avformat_alloc_context();
  CHECK(raw != nullptr);
  raw->pb = io.get();
  raw->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
  raw->error_recognition = AV_EF_CRCCHECK | AV_EF_EXPLODE;
  raw->io_open = refuse_open;
  raw->max_streams = 16;
  raw->format_whitelist = av_strdup(kFormats);
  raw->codec_whitelist = av_strdup(kCodecs);
  raw->protocol_whitelist = av_strdup("");
  if (const int e = avformat_open_input(&raw, nullptr, nullptr, nullptr); e < 0) {  // frees `raw` on failure
    av_fail("this is not a video in MP4, WebM or GIF", e, where);
  }
  const std::unique_ptr<AVFormatContext, CloseInput> format(raw);
  if (const int e = avformat_find_stream_info(raw, nullptr); e < 0) av_fail("broken video header", e, where);
  const AVCodec* codec = nullptr;
  const int stream = av_find_best_stream(raw, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
  if (stream < 0 || codec == nullptr) av_fail("the file has no video that can be decoded", stream, where);
  const AVStream* video = raw->streams[stream];
  const AvPtr<AVCodecContext> decoder = open_decoder(codec, video->codecpar, where, limits);
  Collector collector{.where = where, .limits = limits, .time_base = video->time_base};
  const AvPtr<AVPacket> packet = av_empty_packet();
  const AvPtr<AVFrame> frame = av_empty_frame();
  for (;;) {
    const int e = av_read_frame(raw, packet.get());
    if (e == AVERROR_EOF) break;
    if (e < 0) av_fail("broken video file", e, where);
    if ((packet->flags & AV_PKT_FLAG_CORRUPT) != 0) {
      throw Error({.what = "the video file is truncated or damaged", .where = std::string(where)});
    }
    if (packet->stream_index == stream) decode(decoder.get(), packet.get(), frame.get(), collector);
    av_packet_unref(packet.get());
  }
  decode(decoder.get(), nullptr, frame.get(), collector);
  if (collector.out.count == 0) throw Error({.what = "the video has no frames", .where = std::string(where)});
  settle_times(collector.out, video->avg_frame_rate.num > 0 ? video->avg_frame_rate : video->r_frame_rate);
  return std::move(collector.out);
}

}  // namespace wanslim
