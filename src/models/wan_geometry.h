// SPDX-License-Identifier: Apache-2.0
// The sizes of a Wan2.1 transformer from what a checkpoint shows: the shapes of its tensors, then config.json
// for what shapes cannot tell.
//
//   WanGeometry g = geometry_from_shapes(shapes, where);
//   if (config) apply_config(*config, config_path, g);  // wan_config.h
//   check_geometry(g, where);
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "config/wan_variants.h"
#include "tensor/shape.h"

namespace wanslim {

using ShapeMap = std::map<std::string, Shape, std::less<>>;  // by official name

// Sizes by majority of the tensors that show them, so that one misshapen tensor does not make all others look
// wrong; sizes that no tensor shows keep the official default. What shapes cannot tell is left unknown: heads
// 0 if dim is no multiple of 128, vace_layers all kUnknownLayer if no regular spacing fits. Error if nothing
// here is of a Wan transformer.
constexpr int64_t kUnknownLayer = -1;
WanGeometry geometry_from_shapes(const ShapeMap& shapes, std::string_view where);

// Error if something is still unknown or impossible.
void check_geometry(const WanGeometry& geometry, std::string_view where);

}  // namespace wanslim
