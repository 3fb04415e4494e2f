// SPDX-License-Identifier: Apache-2.0
// Pictures and videos as files. What a file is shows in its first bytes when reading, in its name when
// writing.
//   read: PNG, JPEG, WebP, GIF, MP4/MOV, WebM/Matroska     write: .mp4, .gif, .png (one frame)
#pragma once
#include <cstddef>
#include <span>
#include <string_view>

#include "io/file.h"
#include "io/frames.h"

namespace wanslim {

// A picture or a video. Errors name `where` (the path) and what is wrong; input outside the limits is refused
// before its memory is taken. Files up to 2 GiB.
Frames decode_media(std::span<const std::byte> bytes, std::string_view where, const FrameLimits& limits = {});
Frames read_media(const Path& path, const FrameLimits& limits = {});

// Exactly one frame, or Error.
Frames read_picture(const Path& path, const FrameLimits& limits = {});

// Error if the name's ending is unknown, does not fit the number of frames, or this build lacks the library:
// to be called before the work that makes the frames.
void check_media_name(const Path& path, int64_t frames);

// Writes by the ending of the name; there whole or not at all. `quality` (0 to 10) counts for MP4 as
// imageio's: constant rate factor 51 * (1 - quality / 10), truncated; 8 is the official script's.
void write_media(const Path& path, const Frames& frames, double quality = 8);

}  // namespace wanslim
