// SPDX-License-Identifier: Apache-2.0
// JPEG, WebP and videos through FFmpeg's libraries; MP4 with H.264 by libx264 (GPL). Without these libraries
// at build time every call throws an Error that says so. Callers use io/picture.h and io/video.h.
//
// The input may be hostile: it is read from memory, only the formats named below are tried, no other file or
// protocol is ever opened, and sizes are checked before memory is taken.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "io/frames.h"

namespace wanslim {

bool has_av();  // were the libraries there at build time?

// A JPEG or WebP file as RGB; alpha is dropped, the orientation in EXIF is not applied (as PIL's open).
// Chroma is interpolated by libswscale: a few units from what libjpeg gives.
Frames av_decode_picture(std::span<const std::byte> bytes, std::string_view where, const FrameLimits& limits);

// The first video stream of an MP4/MOV, Matroska/WebM or GIF file, all frames in order of presentation.
// Broken or truncated streams are Errors, never frames with concealed damage.
Frames av_decode_video(std::span<const std::byte> bytes, std::string_view where, const FrameLimits& limits);

// An MP4 file: H.264, yuv420p (BT.601, limited range), constant rate factor `crf`; an odd width or height
// repeats its last column or row. The bytes do not depend on the number of cores.
std::string av_encode_mp4(const Frames& frames, int crf);

}  // namespace wanslim
