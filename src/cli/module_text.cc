// SPDX-License-Identifier: Apache-2.0
// `module umt5` and `module tokenize`.
#include <fmt/format.h>

#include "base/error.h"
#include "cli/module.h"
#include "models/umt5.h"
#include "models/umt5_tokenizer.h"

namespace wanslim {
namespace {

constexpr uint64_t kMaxPromptFile = 64 << 20;

const Tensor& need_integers(const TensorMap& tensors, const std::string& name, const std::string& file) {
  const Tensor& tensor = need_input(tensors, name, file);
  if (tensor.shape().size() == 2 && (tensor.dtype() == DType::kI32 || tensor.dtype() == DType::kI64)) {
    return tensor;
  }
  throw Error{{.what = fmt::format("\"{}\" is {} {}, expected I32 or I64 [prompts, tokens]", name,
                                   name_of(tensor.dtype()), to_string(tensor.shape())),
               .where = file}};
}

int64_t value_at(const Tensor& tensor, int64_t i) {
  const auto at = static_cast<size_t>(i);
  return tensor.dtype() == DType::kI64 ? tensor.as<int64_t>()[at] : tensor.as<int32_t>()[at];
}

// The ids under the ones of the mask, which stand in front.
std::vector<std::vector<int32_t>> valid_ids(const TensorMap& tensors, const std::string& file) {
  const Tensor& ids = need_integers(tensors, "in.ids", file);
  const Tensor& mask = need_integers(tensors, "in.mask", file);
  if (mask.shape() != ids.shape()) {
    throw Error{{.what = fmt::format("\"in.mask\" is {}, \"in.ids\" {}", to_string(mask.shape()),
                                     to_string(ids.shape())),
                 .where = file}};
  }
  std::vector<std::vector<int32_t>> prompts(static_cast<size_t>(ids.dim(0)));
  for (int64_t i = 0; i < ids.count(); ++i) {
    std::vector<int32_t>& prompt = prompts[static_cast<size_t>(i / ids.dim(1))];
    if (value_at(mask, i) == 0) continue;
    if (static_cast<int64_t>(prompt.size()) != i % ids.dim(1)) {
      throw Error{{.what = "\"in.mask\" has a one after a zero: only padding at the end is understood",
                   .where = file}};
    }
    const int64_t id = value_at(ids, i);
    if (id < 0 || id > INT32_MAX) throw Error{{.what = fmt::format("token id {}", id), .where = file}};
    prompt.push_back(static_cast<int32_t>(id));
  }
  return prompts;
}

}  // namespace

ModuleResult run_umt5_module(const ModuleArgs& args, Progress&) {
  const std::vector<std::vector<int32_t>> prompts = valid_ids(read_tensors(args.in), args.in);
  const NamedCheckpoint weights = open_umt5(args.model);
  // Weights stay in memory if they are used more than once.
  const Umt5Options options{.compute = args.compute == "f32" ? Compute::kF32 : Compute::kBF16,
                            .keep_weights = args.repeat > 1};
  const Umt5Encoder encoder(weights, options);
  ModuleResult result;
  std::vector<Tensor> features;
  time_forwards(args, result, [&] { features = encoder.encode(prompts); });
  TensorMap named;
  size_t tokens = 0;
  for (size_t i = 0; i < features.size(); ++i) {
    named["out." + std::to_string(i)] = floats_of(features[i], "out");
    tokens += prompts[i].size();
  }
  write_tensors(args.out, named);
  result.facts = {{"compute", options.compute == Compute::kF32 ? "f32" : "bf16"},
                  {"prompts", prompts.size()},
                  {"tokens", tokens},
                  {"weights_kept", options.keep_weights}};
  return result;
}

ModuleResult run_tokenize_module(const ModuleArgs& args, Progress&) {
  const Json prompts = parse_json(read_text(args.in, kMaxPromptFile), args.in);
  if (!prompts.is_array()) throw Error{{.what = "is not a JSON list of strings", .where = args.in}};
  const Umt5Tokenizer tokenizer = Umt5Tokenizer::open(args.model);
  ModuleResult result;
  Json lists;
  time_forwards(args, result, [&] {
    lists = Json::array();
    for (const Json& prompt : prompts) {
      if (!prompt.is_string()) {
        throw Error{{.what = fmt::format("item {} is not a string", lists.size()), .where = args.in}};
      }
      lists.push_back(tokenizer.encode(prompt.get<std::string>()));
    }
  });
  write_file_atomic(args.out, lists.dump() + "\n");
  result.facts = {{"prompts", prompts.size()}};
  return result;
}

}  // namespace wanslim
