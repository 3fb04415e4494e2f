// SPDX-License-Identifier: Apache-2.0
// Comparing two results: two videos or pictures, two files of latents, or two folders (the files of the same
// name in both are compared). A is the reference.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "eval/tensor_error.h"
#include "eval/video_metrics.h"
#include "io/file.h"
#include "io/frames.h"

namespace wanslim {

struct VideoComparison {
  Frames a, b;
  VideoMetrics metrics;
};

struct TensorComparison {
  Shape shape;
  TensorError total;
  std::vector<TensorError> frames = {};  // of [channels, frames, height, width]; else empty
};

// One pair; either `video` or `tensor` is there.
struct ComparedItem {
  std::string name;  // of the file in a folder and of the tensor in a file; empty where there is only one
  std::optional<VideoComparison> video = {};
  std::optional<TensorComparison> tensor = {};
};

struct Comparison {
  Path a, b;
  std::vector<ComparedItem> items = {};
  std::vector<std::string> only_a = {}, only_b = {};  // names without a partner
};

// Reads and compares. Errors: a path that is neither, kinds that differ, nothing in common, sizes that
// differ.
Comparison compare_paths(const Path& a, const Path& b, const FrameLimits& limits = {});

// {"a", "b", "only_a", "only_b", "items": [{"name", "kind": "video" | "tensor", "shape" or "frames",
// "height", "width", "total": {...}, "per_frame": [{"frame", ...}]}]}. Infinite and missing numbers are null.
Json to_json(const Comparison& comparison);

// A few lines for people: one per item, the worst frame of each.
std::string to_text(const Comparison& comparison);

}  // namespace wanslim
