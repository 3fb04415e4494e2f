// SPDX-License-Identifier: Apache-2.0
// `wanslim module NAME`: one part of the pipeline on its own, tensors in and tensors out, for checking it
// against a reference and for timing. module.cc has the table of parts.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/progress.h"
#include "io/tensor_file.h"

namespace wanslim {

struct ModuleArgs {
  std::string name, model, in, out, quantized;
  std::string compute = {};  // "f32" or "bf16"; empty: as the official pipeline computes this part
  int64_t repeat = 1, threads = 0;
  std::string memory;  // "4GB"; empty: no limit
  double vace_scale = 1.0;
  bool json = false, profile = false;
};

struct ModuleResult {
  std::vector<double> seconds;  // of each forward
  Json facts = Json::object();  // what else --json says
};

struct Module {
  const char* name;
  const char* summary;
  bool takes_quantized;  // --quantized and --memory mean something
  // Reads args.in, runs `repeat` times, writes args.out (of the last run).
  ModuleResult (*run)(const ModuleArgs& args, Progress& progress);
};

ModuleResult run_dit_module(const ModuleArgs& args, Progress& progress);
ModuleResult run_umt5_module(const ModuleArgs& args, Progress& progress);
ModuleResult run_tokenize_module(const ModuleArgs& args, Progress& progress);
ModuleResult run_vae_encode_module(const ModuleArgs& args, Progress& progress);
ModuleResult run_vae_decode_module(const ModuleArgs& args, Progress& progress);
ModuleResult run_clip_module(const ModuleArgs& args, Progress& progress);

// For module implementations.
// Runs `forward` args.repeat times and notes the seconds of each.
void time_forwards(const ModuleArgs& args, ModuleResult& result, const std::function<void()>& forward);
// Error naming `file` if the tensor is absent.
const Tensor& need_input(const TensorMap& tensors, const std::string& name, const std::string& file);

}  // namespace wanslim
