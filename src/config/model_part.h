// SPDX-License-Identifier: Apache-2.0
// The models that a Wan2.1 checkpoint is made of and that can be quantized.
#pragma once
#include <cstdint>
#include <string_view>

namespace wanslim {

enum class ModelPart : uint8_t { kTransformer, kTextEncoder, kImageEncoder };

inline std::string_view name_of(ModelPart part) {
  constexpr std::string_view kNames[] = {"transformer", "umT5 text encoder", "CLIP image encoder"};
  return kNames[static_cast<size_t>(part)];
}

}  // namespace wanslim
