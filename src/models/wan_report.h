// SPDX-License-Identifier: Apache-2.0
// What is in a checkpoint, for people: unlike open_wan this does not refuse what is incomplete or foreign, it
// says what is odd about it.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/progress.h"
#include "models/wan_checkpoint.h"

namespace wanslim {

// Tensors of one dtype.
struct DTypeShare {
  DType dtype = DType::kF32;
  size_t tensors = 0;
  int64_t parameters = 0;
  uint64_t bytes = 0;
};

struct WanReport {
  // Absent if this is no float Wan2.1 transformer; `odd` says why.
  struct Model {
    std::string variant;  // name of the published variant, or "custom"
    Naming naming = Naming::kOfficial;
    WanGeometry geometry;
    int64_t published_layers = 0;  // of the variant; 0 if custom
    size_t block_linears = 0;
    int64_t block_linear_parameters = 0;
  };
  std::optional<Model> model;
  std::vector<Path> files;
  uint64_t file_bytes = 0;
  size_t tensors = 0;
  int64_t parameters = 0;
  std::vector<DTypeShare> dtypes;  // most bytes first
  bool has_config = false;
  std::vector<std::string> odd;  // one line each
};

// Headers and config.json are read, no weights.
WanReport report_on(const Checkpoint& file);

// A tensor with values that no weight should have, and the first of them.
struct NonFinite {
  std::string tensor;  // as the checkpoint names it
  int64_t nan = 0, infinite = 0;
  int64_t first = 0;  // index in row-major order
};

// Reads every F32, F64, BF16 and F16 tensor whole. In the order of the files.
std::vector<NonFinite> find_non_finite(const Checkpoint& file, Progress& progress);

}  // namespace wanslim
