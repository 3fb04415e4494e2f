// SPDX-License-Identifier: Apache-2.0
// `module dit`: tensors under the names of the reference files.
#include <algorithm>
#include <cstring>
#include <optional>

#include "base/byte_size.h"
#include "base/error.h"
#include "cli/module.h"
#include "formats/format.h"
#include "io/tensor_file.h"
#include "models/overlay_source.h"
#include "models/wan_checkpoint.h"
#include "models/wan_dit.h"
#include "models/wan_finite.h"
#include "models/wan_memory.h"

namespace wanslim {
namespace {

const Tensor* find(const TensorMap& tensors, const std::string& name) {
  const auto at = tensors.find(name);
  return at == tensors.end() ? nullptr : &at->second;
}

std::vector<double> timesteps(const Tensor& t, const std::string& file) {
  std::vector<double> out(static_cast<size_t>(t.count()));
  for (size_t i = 0; i < out.size(); ++i) {
    switch (t.dtype()) {
      case DType::kI64:
        out[i] = static_cast<double>(t.as<int64_t>()[i]);
        break;
      case DType::kI32:
        out[i] = t.as<int32_t>()[i];
        break;
      case DType::kF32:
        out[i] = t.as<float>()[i];
        break;
      default:
        throw Error{{.what = "\"in.t\" is " + std::string(name_of(t.dtype())) + ", expected I64, I32 or F32",
                     .where = file}};
    }
  }
  return out;
}

// The rows of item `item` of `count`: [images * tokens, width] of [images * count, tokens, width].
Tensor clip_of(const Tensor& all, size_t item, size_t count, const std::string& file) {
  if (all.shape().size() != 3 || all.dim(0) % static_cast<int64_t>(count) != 0) {
    throw Error{
        {.what = "\"in.clip_fea\" has shape " + to_string(all.shape()) + ", expected [images, tokens, width]",
         .where = file}};
  }
  const int64_t images = all.dim(0) / static_cast<int64_t>(count);
  Tensor rows(all.dtype(), {images * all.dim(1), all.dim(2)});
  std::memcpy(rows.raw().data(), all.raw().data() + item * rows.bytes(), rows.bytes());
  return rows;
}

struct DitInputs {
  TensorMap tensors;
  std::vector<WanInput> inputs;
  std::vector<const Tensor*> texts;
  std::vector<Tensor> clips;

  explicit DitInputs(const ModuleArgs& args) : tensors(read_tensors(args.in)) {
    for (auto& [name, tensor] : tensors) {
      if (name != "in.t" && name.starts_with("in."))
        tensor = floats_of(tensor, args.in + ": \"" + name + "\"");
    }
    const std::vector<double> times = timesteps(need_input(tensors, "in.t", args.in), args.in);
    const Tensor* clip = find(tensors, "in.clip_fea");
    for (size_t i = 0; i < times.size(); ++i) {
      const std::string item = "." + std::to_string(i);
      inputs.push_back({.latent = &need_input(tensors, "in.x" + item, args.in),
                        .condition = find(tensors, "in.y" + item),
                        .vace_context = find(tensors, "in.vace_context" + item),
                        .vace_scale = static_cast<float>(args.vace_scale),
                        .timestep = times[i]});
      texts.push_back(&need_input(tensors, "in.context" + item, args.in));
      if (clip != nullptr) clips.push_back(clip_of(*clip, i, times.size(), args.in));
    }
  }
  WanLoad load() const {
    WanLoad load{.prompts = static_cast<int64_t>(inputs.size()),
                 .together = static_cast<int64_t>(inputs.size())};
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].latent->shape().size() != 4 || texts[i]->shape().size() != 2)
        continue;  // refused by the model
      load.tokens = std::max(load.tokens, inputs[i].latent->count() / inputs[i].latent->dim(0) / 4);
      load.text_rows = std::max(load.text_rows, texts[i]->dim(0));
    }
    return load;
  }
};

}  // namespace

ModuleResult run_dit_module(const ModuleArgs& args, Progress&) {
  const DitInputs in(args);
  auto model = std::make_shared<WanCheckpoint>(open_wan(args.model));
  std::shared_ptr<const WeightSource> source = model;
  if (!args.quantized.empty()) {
    std::shared_ptr<const WeightSource> codes = recognize_format(args.quantized).read(args.quantized);
    source = overlay(model, codes, model->geometry(), args.quantized);
  }
  WanDit::Options options{.compute = args.compute == "f32" ? Compute::kF32 : Compute::kBF16};
  if (!args.memory.empty()) {
    const WanMemory memory = estimate_memory(*source, model->geometry(), options.compute, in.load());
    options.block_budget = block_budget(memory, parse_byte_size(args.memory, "--memory"));
  }
  WanDit dit(source, model->geometry(), options);
  std::vector<WanPrompt> prompts;
  std::vector<WanPrompt*> pointers;
  prompts.reserve(in.inputs.size());
  for (size_t i = 0; i < in.inputs.size(); ++i) {
    prompts.push_back(dit.embed_prompt(*in.texts[i], in.clips.empty() ? nullptr : &in.clips[i]));
    pointers.push_back(&prompts.back());
  }
  ModuleResult result;
  std::vector<Tensor> outputs;
  time_forwards(args, result, [&] { outputs = dit.forward(in.inputs, pointers); });
  for (size_t i = 0; i < outputs.size(); ++i) require_finite(outputs[i], dit, in.inputs[i], prompts[i], {});
  TensorMap named;
  for (size_t i = 0; i < outputs.size(); ++i) named["out." + std::to_string(i)] = std::move(outputs[i]);
  write_tensors(args.out, named);
  result.facts = {{"compute", options.compute == Compute::kF32 ? "f32" : "bf16"},
                  {"items", in.inputs.size()},
                  {"tokens", in.load().tokens}};
  return result;
}

}  // namespace wanslim
