// SPDX-License-Identifier: Apache-2.0
#include "config/wan_tasks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/spelling.h"

namespace wanslim {
namespace {

constexpr VideoSize kWide720{1280, 720}, kTall720{720, 1280}, kWide480{832, 480}, kTall480{480, 832};

// The prefixes ask against a shaking camera, and against a cut between the two frames.
const std::vector<WanTask>& table() {
  static const std::vector<VideoSize> kAll = {kWide720, kTall720, kWide480, kTall480},
                                      kSmall = {kWide480, kTall480};
  static const std::vector<WanTask> kTable = {
      {.name = "t2v-1.3B", .model_type = "t2v", .sizes = kSmall},
      {.name = "t2v-14B", .model_type = "t2v", .sizes = kAll},
      {.name = "t2i-14B",
       .model_type = "t2v",
       .sizes = {kWide720, kTall720, kWide480, kTall480, {1024, 1024}},
       .frames = 1,
       .makes_image = true},
      {.name = "i2v-14B",
       .model_type = "i2v",
       .sizes = kAll,
       .steps = 40,
       .shift_480p = 3,
       .images = 1,
       .negative_prefix = "镜头晃动，"},
      {.name = "flf2v-14B",
       .model_type = "flf2v",
       .sizes = kAll,
       .shift = 16,
       .shift_480p = 16,
       .images = 2,
       .negative_prefix = "镜头切换，镜头晃动，"},
      {.name = "vace-1.3B",
       .model_type = "vace",
       .sizes = kSmall,
       .shift = 16,
       .shift_480p = 16,
       .takes_source = true},
      {.name = "vace-14B",
       .model_type = "vace",
       .sizes = kAll,
       .shift = 16,
       .shift_480p = 16,
       .takes_source = true},
  };
  return kTable;
}

[[noreturn]] void refuse(std::string what, std::string hint = {}) {
  throw Error({.what = std::move(what), .hint = std::move(hint), .kind = Error::Kind::kUsage});
}

VideoSize settle_size(const WanTask& task, const TaskOptions& options) {
  if (!options.size) return task.sizes.front();
  const VideoSize size = parse_size(*options.size);
  if (std::find(task.sizes.begin(), task.sizes.end(), size) != task.sizes.end()) return size;
  std::vector<std::string> listed;
  for (const VideoSize& s : task.sizes) listed.push_back(to_string(s));
  if (!options.any_size) {
    refuse(fmt::format("size {} is not among those of task {}: {}", to_string(size), task.name,
                       fmt::join(listed, ", ")),
           "--any-size allows others, the model was not trained for them");
  }
  if (size.width % 16 != 0 || size.height % 16 != 0) {
    refuse(fmt::format("size {}: width and height must be multiples of 16", to_string(size)));
  }
  return size;
}

int64_t settle_frames(const WanTask& task, const TaskOptions& options) {
  const int64_t frames = options.frames.value_or(task.frames);
  if (task.makes_image && frames != 1) {
    refuse(fmt::format("{} frames for task {}, which makes one picture", frames, task.name),
           "leave --frame_num out");
  }
  constexpr int64_t kMost = (kMaxPositions - 1) * kTimeStride + 1;
  if (frames < 1 || frames > kMost) {
    refuse(fmt::format("{} frames, expected 1 to {}", frames, kMost));
  }
  if (frames % kTimeStride != 1) {
    const int64_t below =
        frames / kTimeStride * kTimeStride - (frames % kTimeStride == 0 ? kTimeStride : 0) + 1;
    refuse(fmt::format("{} frames, expected 4n + 1", frames),
           fmt::format("the nearest are {} and {}", below, below + kTimeStride));
  }
  return frames;
}

}  // namespace

const std::string_view kNegativePrompt =
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG"
    "压缩残留，"
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静"
    "止不动的画面，"
    "杂乱的背景，三条腿，背景人很多，倒着走";

std::span<const WanTask> wan_tasks() {
  return table();
}

const WanTask& wan_task(std::string_view name) {
  std::vector<std::string> known;
  for (const WanTask& row : table()) {
    if (row.name == name) return row;
    known.emplace_back(row.name);
  }
  refuse(fmt::format("unknown task \"{}\"{}", name, did_you_mean(name, known)),
         fmt::format("the tasks are {}", fmt::join(known, ", ")));
}

std::string negative_prompt(const WanTask& task, std::string_view given) {
  if (!given.empty()) return std::string(given);
  return std::string(task.negative_prefix) + std::string(kNegativePrompt);
}

VideoSize parse_size(std::string_view text) {
  const size_t sign = text.find_first_of("*x");
  const auto number = [&](std::string_view part) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    const bool whole = error == std::errc() && end == part.data() + part.size();
    if (!whole || value < 16 || value > kMaxPositions * 16) {
      refuse(
          fmt::format("\"{}\" is not a size", printable(text)),
          fmt::format("expected WIDTH*HEIGHT, each from 16 to {}, for example 832*480", kMaxPositions * 16));
    }
    return value;
  };
  if (sign == std::string_view::npos) number({});
  return {.width = number(text.substr(0, sign)), .height = number(text.substr(sign + 1))};
}

std::string to_string(const VideoSize& size) {
  return fmt::format("{}*{}", size.width, size.height);
}

TaskSettings settle(const WanTask& task, const TaskOptions& options) {
  TaskSettings out{.size = settle_size(task, options), .frames = settle_frames(task, options)};
  const bool small = out.size == kWide480 || out.size == kTall480;
  out.steps = options.steps.value_or(task.steps);
  out.shift = options.shift.value_or(small ? task.shift_480p : task.shift);
  out.guidance = options.guidance.value_or(task.guidance);
  out.solver = options.solver;
  if (!std::isfinite(out.guidance)) refuse(fmt::format("the guidance scale is {}", out.guidance));
  return out;
}

}  // namespace wanslim
