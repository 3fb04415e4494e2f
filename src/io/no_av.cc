// SPDX-License-Identifier: Apache-2.0
// Built in place of av*.cc where FFmpeg's libraries are absent.
#include "base/error.h"
#include "io/av.h"

namespace wanslim {
namespace {

[[noreturn]] void refuse(std::string_view what, std::string_view where) {
  throw Error(
      {.what = "this build cannot handle " + std::string(what),
       .where = std::string(where),
       .hint = "build with FFmpeg's libraries (Debian: libavformat-dev, libavcodec-dev, libswscale-dev)"});
}

}  // namespace

bool has_av() {
  return false;
}

Frames av_decode_picture(std::span<const std::byte>, std::string_view where, const FrameLimits&) {
  refuse("JPEG and WebP files", where);
}

Frames av_decode_video(std::span<const std::byte>, std::string_view where, const FrameLimits&) {
  refuse("videos", where);
}

std::string av_encode_mp4(const Frames&, int) {
  refuse("MP4 files", {});
}

}  // namespace wanslim
