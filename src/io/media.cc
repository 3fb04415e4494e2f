// SPDX-License-Identifier: Apache-2.0
#include "io/media.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/av.h"
#include "io/gif.h"
#include "io/png.h"

namespace wanslim {
namespace {

constexpr uint64_t kMaxFile = uint64_t{2} << 30;

struct MediaKind {
  std::string_view ending;
  bool one_frame;
  bool (*available)();
  std::string_view library;
  std::string (*encode)(const Frames& frames, double quality);
};

constexpr MediaKind kKinds[] = {
    {".mp4", false, has_av, "FFmpeg's libraries",
     [](const Frames& f, double quality) {
       return av_encode_mp4(f, std::clamp(static_cast<int>((1 - quality / 10) * 51), 0, 51));
     }},
    {".gif", false, [] { return true; }, "", [](const Frames& f, double) { return encode_gif(f); }},
    {".png", true, has_png, "libpng", [](const Frames& f, double) { return encode_png(f); }},
};

const MediaKind& kind_of(const Path& path, int64_t frames) {
  std::string ending = path.extension().string();
  for (char& c : ending) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  const auto row = std::find_if(std::begin(kKinds), std::end(kKinds),
                                [&](const MediaKind& k) { return k.ending == ending; });
  if (row == std::end(kKinds)) {
    throw Error({.what = fmt::format("cannot tell the format from the ending \"{}\"", printable(ending)),
                 .where = path.string(),
                 .hint = "use .mp4, .gif or .png",
                 .kind = Error::Kind::kUsage});
  }
  if (row->one_frame && frames != 1) {
    throw Error({.what = fmt::format("a {} file holds one frame, these are {}", row->ending, frames),
                 .where = path.string(),
                 .hint = "use .mp4 or .gif",
                 .kind = Error::Kind::kUsage});
  }
  if (!row->available()) {
    throw Error(
        {.what = fmt::format("this build cannot write {} files, it lacks {}", row->ending, row->library),
         .where = path.string()});
  }
  return *row;
}

bool starts_with(std::span<const std::byte> bytes, std::string_view magic, size_t at = 0) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return text.size() >= at && text.substr(at, magic.size()) == magic;
}

}  // namespace

Frames decode_media(std::span<const std::byte> bytes, std::string_view where, const FrameLimits& limits) {
  if (starts_with(bytes, "\x89PNG")) return decode_png(bytes, where, limits);
  const bool picture =
      starts_with(bytes, "\xff\xd8\xff") || (starts_with(bytes, "RIFF") && starts_with(bytes, "WEBP", 8));
  return picture ? av_decode_picture(bytes, where, limits) : av_decode_video(bytes, where, limits);
}

Frames read_media(const Path& path, const FrameLimits& limits) {
  const File file = File::open_read(path);
  const uint64_t size = file.size();
  if (size > kMaxFile) {
    throw Error({.what = fmt::format("the file has {} bytes, at most {} are read", size, kMaxFile),
                 .where = path.string()});
  }
  std::vector<std::byte> bytes(size);
  file.read_at(0, bytes);
  return decode_media(bytes, path.string(), limits);
}

Frames read_picture(const Path& path, const FrameLimits& limits) {
  Frames out = read_media(path, limits);
  if (out.count != 1) {
    throw Error({.what = fmt::format("the file has {} frames, a picture is expected", out.count),
                 .where = path.string()});
  }
  return out;
}

void check_media_name(const Path& path, int64_t frames) {
  kind_of(path, frames);
}

void write_media(const Path& path, const Frames& frames, double quality) {
  write_file_atomic(path, kind_of(path, frames.count).encode(frames, quality));
}

}  // namespace wanslim
