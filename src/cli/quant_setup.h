// SPDX-License-Identifier: Apache-2.0
// What `quant` does before it touches a weight: arguments checked, recipe chosen, plan made, files named.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/progress.h"
#include "config/recipe.h"
#include "formats/format.h"
#include "models/lora.h"
#include "models/quant_model.h"

namespace wanslim {

struct QuantArgs {
  std::string model_path, save_path, tokenizer, device = "npu", model_type, config_path, quant_type,
                                                trust_remote_code = "False";
  std::vector<std::string> tags;
  bool debug = false;
  std::string numerics = "precise", type;
  std::vector<std::string> formats, format_options, loras;
  std::string target_size;            // of the weight files; empty: no budget
  std::optional<double> target_bits;  // a weight of the blocks' Linears
  std::vector<std::string> candidates;
  int64_t part_file_size = -1;  // as the recipe says
  bool slim = false, dry_run = false, yes = false, overwrite = false, json = false;
  int64_t threads = 0;
};

// What is to be written: --format, --format_option, --part_file_size and the recipe's savers together.
struct QuantOutput {
  const Format* format = nullptr;
  std::map<std::string, std::string> options = {};
  uint64_t shard_bytes = 0;
};

// Errors of kind kUsage for what is wrong with the command line alone.
void check_arguments(const QuantArgs& args);

// The recipe of --config_path, or the built-in practice of --quant_type or --type; without both, w8a8 after a
// question.
Recipe choose_recipe(const QuantArgs& args, Progress& progress);

// The vocabulary of a text encoder: of --tokenizer, else of google/umt5-xxl beside the file, else of the
// file's folder; null if there is none.
std::shared_ptr<const Vocabulary> find_vocabulary(const QuantArgs& args, const QuantModel& model);

// What identifies the run for resuming it.
Json job_identity(const QuantArgs& args, const QuantOutput& output, const Recipe& recipe,
                  const QuantModel& model, const LoraSet& loras, const FormatJob& job);

}  // namespace wanslim
