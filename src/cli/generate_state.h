// SPDX-License-Identifier: Apache-2.0
// The latents of an unfinished run, beside the file that it will write. Saved after every step, removed when
// the video is there.
#pragma once
#include <optional>

#include "base/json.h"
#include "io/file.h"
#include "sampling/denoise.h"

namespace wanslim {

Path state_path(const Path& save_file);  // "x.mp4" -> "x.mp4.state.safetensors"

// Atomic. `identity`: see GenerateRun.
void save_state(const Path& path, const Json& identity, const DenoiseState& state);

struct SavedState {
  Json identity;
  DenoiseState state;
};
// nullopt if there is no such file; Error if it is damaged.
std::optional<SavedState> load_state(const Path& path);

// What differs between two runs, for people: "seed 1, here 2"; empty: nothing.
std::string difference(const Json& saved, const Json& here);

}  // namespace wanslim
