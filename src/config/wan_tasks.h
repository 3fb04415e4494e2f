// SPDX-License-Identifier: Apache-2.0
// The generation tasks as data: what the official generate.py takes as defaults and what it allows, one row
// each. Source: spec wan-forward A7 (generate.py _validate_args, configs/__init__.py, shared_config.py).
//
//   const WanTask& task = wan_task("i2v-14B");
//   const TaskSettings s = settle(task, {.size = "832*480", .frames = 17});
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wanslim {

// Pixels; --size says WIDTH*HEIGHT.
struct VideoSize {
  int64_t width = 0, height = 0;
  int64_t area() const { return width * height; }
  bool operator==(const VideoSize&) const = default;
};

struct WanTask {
  std::string_view name;         // --task
  std::string_view model_type;   // of the checkpoint: t2v, i2v, flf2v, vace
  std::vector<VideoSize> sizes;  // the listed ones, the default first
  int64_t frames = 81, steps = 50;
  double shift = 5, shift_480p = 5;  // the second for 832*480 and 480*832
  double guidance = 5;
  int64_t images = 0;         // conditioning images that it needs: 1 image, or first and last frame
  bool takes_source = false;  // source video, mask and reference images
  bool makes_image = false;   // one frame, saved as a picture
  std::string_view negative_prefix = {};  // in front of kNegativePrompt
};

constexpr int64_t kFramesPerSecond = 16;
constexpr int64_t kLatentChannels = 16;
constexpr int64_t kTimeStride = 4,
                  kSpaceStride = 8;      // pixels per latent element; the first frame stands alone
constexpr int64_t kMaxPositions = 1024;  // of the rotary tables, per axis of the token grid

// sample_neg_prompt of the official configs: what the unconditional branch sees if the user gives nothing.
extern const std::string_view kNegativePrompt;

std::span<const WanTask> wan_tasks();
const WanTask& wan_task(std::string_view name);  // Error with the nearest spelling

// The prompt of the unconditional branch: `given`, or the task's own if it is empty.
std::string negative_prompt(const WanTask& task, std::string_view given);

// "1280*720"; also 1280x720. Error unless both are whole numbers from 16 to 16384.
VideoSize parse_size(std::string_view text);
std::string to_string(const VideoSize& size);  // "1280*720"

// What the user gave; absent values take the task's defaults.
struct TaskOptions {
  std::optional<std::string> size = {};
  bool any_size = false;  // also sizes that are not listed: the model was not trained for them
  std::optional<int64_t> frames = {}, steps = {};
  std::optional<double> shift = {}, guidance = {};
  std::string solver = "unipc";
};

struct TaskSettings {
  VideoSize size;
  int64_t frames = 0, steps = 0;
  double shift = 0, guidance = 0;
  std::string solver = {};
  int64_t latent_frames() const { return (frames - 1) / kTimeStride + 1; }
};

// Defaults filled in and everything checked: size listed (or a multiple of 16 with any_size), frames 4n + 1,
// one frame where a picture is made, guidance finite. Steps, shift and solver are checked by sampling.
// Errors are of kind kUsage.
TaskSettings settle(const WanTask& task, const TaskOptions& options);

}  // namespace wanslim
