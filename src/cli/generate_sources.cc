// SPDX-License-Identifier: Apache-2.0
#include "cli/generate_sources.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "io/media.h"
#include "sampling/vace.h"

namespace wanslim {
namespace {

PlaneSize size_of(const Tensor& picture) {
  return {.height = picture.dim(1), .width = picture.dim(2)};
}

// [3, h, w] in [-1, 1].
Tensor read_image(const std::string& path) {
  const Tensor video = values_from_frames(read_picture(path));
  Tensor image(DType::kF32, {3, video.dim(2), video.dim(3)});
  std::copy(video.raw().begin(), video.raw().end(), image.raw().begin());
  return image;
}

std::vector<std::string> split_names(const std::string& list) {
  std::vector<std::string> names;
  for (size_t begin = 0; begin <= list.size() && !list.empty();) {
    const size_t comma = std::min(list.find(',', begin), list.size());
    if (comma > begin) names.push_back(list.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return names;
}

void read_conditions(GenerateRun& run) {
  if (run.task->images == 1) {
    run.images.push_back(read_image(run.args.image));
  } else {
    run.images.push_back(read_image(run.args.first_frame));
    run.images.push_back(fit_last_frame(read_image(run.args.last_frame), size_of(run.images.front())));
    if (run.frames < 2) {
      throw Error{{.what = "a first and a last frame need 5 frames or more",
                   .where = "--frame_num",
                   .kind = Error::Kind::kUsage}};
    }
  }
  const PlaneSize latent = condition_size(run.settings.size.area(), size_of(run.images.front()));
  run.pixels = {.height = latent.height * kSpaceStride, .width = latent.width * kSpaceStride};
}

// When each frame of a video starts: what the file says, else evenly.
std::vector<double> starts_of(const Frames& video) {
  if (!video.times.empty()) return video.times;
  std::vector<double> times;
  for (int64_t i = 0; i < video.count; ++i) times.push_back(static_cast<double>(i) / video.fps);
  return times;
}

void read_source(GenerateRun& run) {
  const Frames video = read_media(run.args.src_video);
  std::vector<double> times = starts_of(video);
  double end = times.back() + 1 / video.fps;
  Frames mask;
  if (!run.args.src_mask.empty()) {
    mask = read_media(run.args.src_mask);
    const auto both = static_cast<size_t>(std::min(video.count, mask.count));
    if (both < times.size()) {
      end = times[both];
      times.resize(both);
    }
  }
  const PlaneSize size{.height = video.height, .width = video.width};
  const SourcePlan plan = plan_source(times, end, size, run.settings.size.area());
  run.source = source_values(video.rgb, size, plan);
  run.pixels = plan.size;
  run.frames = static_cast<int64_t>(plan.frames.size());
  if (mask.count > 0) {
    run.mask = source_mask(source_values(mask.rgb, {.height = mask.height, .width = mask.width}, plan));
  } else {
    run.mask = full_mask(run.frames, run.pixels);
  }
}

}  // namespace

void read_pictures(GenerateRun& run) {
  run.frames = run.settings.frames;
  run.pixels = {.height = run.settings.size.height, .width = run.settings.size.width};
  if (run.task->images > 0) read_conditions(run);
  if (!run.task->takes_source) return;
  if (run.args.src_video.empty()) {
    run.source = empty_source(run.frames, run.pixels);
    run.mask = full_mask(run.frames, run.pixels);
  } else {
    read_source(run);
  }
  for (const std::string& name : split_names(run.args.src_ref_images)) {
    run.references.push_back(fit_reference(read_image(name), run.pixels));
  }
}

}  // namespace wanslim
