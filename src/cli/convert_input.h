// SPDX-License-Identifier: Apache-2.0
// What `convert` reads: one of our outputs as layers with their schemes, and the float model that may
// complete it.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "formats/format.h"
#include "formats/manifest.h"
#include "io/checkpoint.h"
#include "models/wan_checkpoint.h"

namespace wanslim {

struct ConvertInput {
  const Format* format = nullptr;
  Checkpoint file;
  std::unique_ptr<WeightSource> source;
  std::optional<WanCheckpoint> model;  // --against
  std::optional<Manifest> manifest;
  WanGeometry geometry;
  std::vector<LayerPlan> layers;  // official order, with the schemes that the file has
  // The first Linear that carries more than codes, scales, bias and rotation.
  struct Extra {
    std::string layer;
    std::string_view what;  // "a low-rank pair"
  };
  std::optional<Extra> extra;
  // Where a float tensor comes from: the file, or the model if the file leaves it out. Error if neither has
  // it.
  const WeightSource& holder(const std::string& tensor) const;
};

// `against`: path of the float model, or empty. Reads every quantized Linear once to learn its scheme. Error,
// naming the tensor, for what is not there or does not fit.
ConvertInput open_convert_input(const Path& path, const std::string& against, Progress& progress);

}  // namespace wanslim
