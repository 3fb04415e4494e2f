// SPDX-License-Identifier: Apache-2.0
#include "cli/quant_setup.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/spelling.h"
#include "cli/lora_option.h"
#include "cli/quant_budget.h"
#include "cli/version.h"
#include "config/practices.h"
#include "config/recipe_yaml.h"
#include "io/gguf.h"
#include "models/umt5_tokenizer.h"
#include "models/vocabulary.h"

namespace wanslim {
namespace {

// Spec msmodelslim 1.2: TYPE or TYPE:INDEX,INDEX. Everything runs on this host; the string is only checked.
void check_device(const std::string& device) {
  if (device.empty()) throw usage_error("device string cannot be empty", "--device");
  const std::string type = device.substr(0, device.find(':'));
  static const std::vector<std::string> kTypes = {"npu", "cpu", "auto"};
  if (std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end()) {
    throw usage_error(fmt::format("Invalid device type: '{}'. Supported device types: 'npu', 'cpu', 'auto'{}",
                                  type, did_you_mean(type, kTypes)),
                      "--device");
  }
  if (type.size() == device.size()) return;
  std::set<std::string> seen;
  const std::string list = device.substr(type.size() + 1);
  for (size_t begin = 0; begin < list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    const std::string index = list.substr(begin, end - begin);
    const bool digits =
        !index.empty() && index.size() < 6 &&
        std::all_of(index.begin(), index.end(), [](unsigned char c) { return std::isdigit(c); });
    if (!digits || end + 1 == list.size())
      throw usage_error(fmt::format("Invalid device indices format: {}", list), "--device",
                        "for example npu:0 or npu:0,1");
    if (!seen.insert(index).second)
      throw usage_error(fmt::format("device index {} stands twice", index), "--device");
    begin = end + 1;
  }
  if (type == "cpu" && seen.size() > 1) throw usage_error("several CPU indices make no sense", "--device");
}

bool confirmed(const QuantArgs& args, const std::string& question) {
  if (args.yes) return true;
  if (::isatty(STDIN_FILENO) == 0) {
    throw usage_error("neither --quant_type nor --config_path is given", "quant",
                      "add --quant_type w8a8, or --yes to take it without a question");
  }
  std::cerr << question << " (Enter y to continue, otherwise it will exit): " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  return !answer.empty() && (answer[0] == 'y' || answer[0] == 'Y');
}

// --type names a block format of GGUF, whose practices have the same names.
void check_type(const QuantArgs& args) {
  if (args.type.empty()) return;
  if (!args.quant_type.empty() || !args.config_path.empty())
    throw usage_error("only one of --type, --quant_type and --config_path can be given", "quant");
  if (args.formats != std::vector<std::string>{"gguf"})
    throw usage_error("--type chooses a type of GGUF", "--type", "add --format gguf, or use --quant_type");
  const GgufType* type = find_gguf_type(args.type);
  if (!type || type->encoding == Encoding::kFloat)
    throw usage_error(fmt::format("\"{}\" is no type of GGUF that is written here", args.type), "--type",
                      "the types are Q8_0, Q6_K, Q5_K, Q4_K, Q4_0, Q3_K and Q2_K");
}

Recipe practice_recipe(const std::string& quant_type) {
  const Practice& practice = choose_practice(quant_type);
  return parse_recipe(practice.yaml, "built-in practice " + std::string(practice.name));
}

std::string vocabulary_hash(const Vocabulary& vocabulary) {
  std::string all = vocabulary.charsmap;
  for (const Vocabulary::Piece& piece : vocabulary.pieces)
    all += fmt::format("{} {} {}\n", piece.text, piece.score, static_cast<int>(piece.kind));
  return hash_hex(all);
}

}  // namespace

void check_arguments(const QuantArgs& args) {
  if (args.model_path.empty())
    throw usage_error("--model_path is required", "quant", "the folder of the float weights");
  if (args.save_path.empty())
    throw usage_error("--save_path is required", "quant", "the folder for the quantized weights");
  if (!args.quant_type.empty() && !args.config_path.empty()) {
    throw usage_error("quant_type and config_path only one can be provided", "quant");
  }
  static const std::vector<std::string> kModels = {"Wan2_1", "Wan2.1"};
  if (args.model_type.empty()) throw usage_error("model_type is required", "quant", "--model_type Wan2_1");
  if (std::find(kModels.begin(), kModels.end(), args.model_type) == kModels.end()) {
    throw usage_error(
        fmt::format("unknown model type \"{}\"{}", args.model_type, did_you_mean(args.model_type, kModels)),
        "--model_type", "Wan2_1 is what this program quantizes; the name is case-sensitive");
  }
  check_device(args.device);
  check_type(args);
  check_budget(args);
  if (args.threads < 0 || args.threads > 4096)
    throw usage_error(fmt::format("{} threads", args.threads), "--threads", "1 to 4096, or 0 for all cores");
}

Recipe choose_recipe(const QuantArgs& args, Progress& progress) {
  Recipe recipe;
  if (has_budget(args)) {
    if (!args.quant_type.empty()) recipe = practice_recipe(args.quant_type);  // for its saver
  } else if (!args.config_path.empty()) {
    recipe = load_recipe(args.config_path);
    for (const std::string& warning : recipe.warnings) progress.warn(warning);
  } else if (!args.quant_type.empty() || !args.type.empty()) {
    recipe = practice_recipe(args.type.empty() ? args.quant_type : args.type);
  } else {
    if (!confirmed(args, "No quant_type or config_path provided. Default quant_type:w8a8 will be used.")) {
      throw usage_error("nothing was chosen", "quant", "add --quant_type or --config_path");
    }
    recipe = practice_recipe("w8a8");
  }
  return recipe;
}

std::shared_ptr<const Vocabulary> find_vocabulary(const QuantArgs& args, const QuantModel& model) {
  Path place = args.tokenizer;
  const Path folder = model.file->folder();
  for (const Path& candidate : {folder / "google" / "umt5-xxl", folder}) {
    if (!place.empty()) break;
    if (path_exists(candidate / "tokenizer.json") || path_exists(candidate / "spiece.model"))
      place = candidate;
  }
  if (place.empty()) return nullptr;
  return std::make_shared<Vocabulary>(
      vocabulary_of(Umt5Tokenizer::read(place), model.text_encoder.vocabulary, place.string()));
}

Json job_identity(const QuantArgs& args, const QuantOutput& output, const Recipe& recipe,
                  const QuantModel& model, const LoraSet& loras, const FormatJob& job) {
  Json input = Json::array();
  for (const Checkpoint::OpenFile& file : model.file->files()) {
    input.push_back({{"file", file.file.path().filename().string()},
                     {"bytes", file.stamp.size},
                     {"modified_ns", file.stamp.modified_ns}});
  }
  return {{"version", kVersion},
          {"format", output.format->name},
          {"format_options", output.options},
          {"part_file_size", output.shard_bytes},
          {"numerics", args.numerics},
          {"slim", args.slim},
          {"recipe", hash_hex(recipe.text)},
          {"lora", lora_identity(loras)},
          {"tokenizer", job.vocabulary ? vocabulary_hash(*job.vocabulary) : ""},
          {"input", input}};
}

}  // namespace wanslim
