// SPDX-License-Identifier: Apache-2.0
// Synthetic checkpoints: the files of a Wan2.1 transformer with true names, shapes and config.json, and
// seeded weights that look trained (synth_values.h). For trying commands, tests and measurements without a
// download.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "config/wan_variants.h"
#include "io/file.h"
#include "models/names.h"
#include "tensor/dtype.h"

namespace wanslim {

// kMixed: with VACE the published mixture, F32 and vace_* in BF16; else the Linear weights of the blocks in
// BF16 and all others in F32.
enum class SynthDType : uint8_t { kF32, kBF16, kF16, kMixed };
SynthDType synth_dtype_from_name(std::string_view name);  // "f32", ...; Error of kind kUsage

struct SynthOptions {
  WanGeometry geometry = {};
  SynthDType dtype = SynthDType::kF32;
  Naming naming = Naming::kOfficial;
  int shards = 0;  // files to split into; 0: as many as keep each below 10 GB, as published
  uint64_t seed = 0;
  bool overwrite = false;  // replace the checkpoint that is in the folder
  bool parts = false;      // what `generate` needs beside the transformer too (synth_parts.h)
};

// The geometry with another number of blocks, 1 to 1024; VACE blocks whose base block is gone go with it.
WanGeometry with_layers(WanGeometry geometry, int64_t layers);

struct SynthResult {
  std::vector<Path> files;  // of weights
  int64_t parameters = 0;
  size_t tensors = 0;
  uint64_t bytes = 0;
  std::vector<Path> beside;  // files of the other parts; not in the numbers above
  uint64_t beside_bytes = 0;
};

// Writes the checkpoint into `folder`, which is made. Memory is bounded by a few MB for each thread. Files
// get their names when all are complete; on an error or an interrupt nothing is left under a final name.
// Error if the folder is not empty (unless `overwrite`) or the disk has too little room.
SynthResult write_synth(const Path& folder, const SynthOptions& options, Progress& progress);

}  // namespace wanslim
