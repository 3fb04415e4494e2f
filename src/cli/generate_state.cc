// SPDX-License-Identifier: Apache-2.0
#include "cli/generate_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "io/checkpoint.h"
#include "io/tensor_file.h"

namespace wanslim {
namespace {

constexpr const char* kPredictions[] = {"prediction.0", "prediction.1"};

Tensor tensor_of(const std::vector<float>& values) {
  Tensor tensor(DType::kF32, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), tensor.as<float>().begin());
  return tensor;
}

std::vector<float> floats_in(const TensorMap& tensors, const std::string& name) {
  const auto at = tensors.find(name);
  if (at == tensors.end()) return {};
  const std::span<const float> values = at->second.as<float>();
  return {values.begin(), values.end()};
}

}  // namespace

Path state_path(const Path& save_file) {
  return save_file.string() + ".state.safetensors";
}

void save_state(const Path& path, const Json& identity, const DenoiseState& state) {
  TensorMap tensors;
  tensors["latent"] = state.latent.clone();
  for (size_t i = 0; i < 2; ++i) {
    const std::vector<float>& values = state.solver.predictions[i];
    if (!values.empty()) tensors[kPredictions[i]] = tensor_of(values);
  }
  if (!state.solver.last_sample.empty()) tensors["last_sample"] = tensor_of(state.solver.last_sample);
  write_tensors(
      path, tensors,
      {{"wanslim_state", "1"}, {"step", std::to_string(state.solver.step)}, {"identity", identity.dump()}});
}

std::optional<SavedState> load_state(const Path& path) {
  if (!path_exists(path)) return std::nullopt;
  const auto damaged = [&](std::string what) {
    return Error{{.what = "no latents to go on from: " + std::move(what),
                  .where = path.string(),
                  .hint = "remove it, or start anew with --overwrite"}};
  };
  const Checkpoint file = Checkpoint::open(path);
  const auto& metadata = file.metadata();
  if (!metadata.contains("wanslim_state") || !metadata.contains("step") || !metadata.contains("identity")) {
    throw damaged("made by another program");
  }
  TensorMap tensors = read_tensors(path);
  SavedState saved{.identity = parse_json(metadata.at("identity"), path.string()), .state = {}};
  const std::string& step = metadata.at("step");
  const bool number = !step.empty() && step.size() < 6 &&
                      std::all_of(step.begin(), step.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!number || !tensors.contains("latent")) throw damaged("it is damaged");
  const auto count = tensors.at("latent").count();
  for (const auto& [name, tensor] : tensors) {
    if (tensor.dtype() != DType::kF32 || tensor.count() != count)
      throw damaged("\"" + name + "\" is damaged");
  }
  saved.state.solver.step = std::stoll(step);
  for (size_t i = 0; i < 2; ++i) saved.state.solver.predictions[i] = floats_in(tensors, kPredictions[i]);
  saved.state.solver.last_sample = floats_in(tensors, "last_sample");
  saved.state.latent = std::move(tensors.at("latent"));
  return saved;
}

std::string difference(const Json& saved, const Json& here) {
  for (const auto& [key, value] : here.items()) {
    if (!saved.contains(key)) return fmt::format("{} unknown, here {}", key, value.dump());
    if (saved[key] != value) return fmt::format("{} {}, here {}", key, saved[key].dump(), value.dump());
  }
  return "";
}

}  // namespace wanslim
