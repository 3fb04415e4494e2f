// SPDX-License-Identifier: Apache-2.0
#include "calib/input_energies.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/hash.h"
#include "io/checkpoint.h"

namespace wanslim {
namespace {

std::vector<float> energies_of(const Checkpoint& file, const LayerPlan& layer) {
  const std::string name = layer.name + ".energy";
  const StoredTensor* stored = file.find(name);
  if (!stored)
    throw Error({.what = fmt::format("there are no energies \"{}\"", name),
                 .where = file.files()[0].file.path().string(),
                 .hint = "every layer that the entry takes needs them"});
  if (stored->dtype != DType::kF32 || stored->shape != Shape{layer.shape[1]})
    throw Error({.what = fmt::format("the energies are {} {}, expected F32 [{}]", name_of(stored->dtype),
                                     to_string(stored->shape), layer.shape[1]),
                 .where = file.describe(*stored)});
  const Tensor tensor = file.load(*stored);
  std::vector<float> values(tensor.as<float>().begin(), tensor.as<float>().end());
  const auto bad =
      std::find_if(values.begin(), values.end(), [](float x) { return !(x >= 0) || std::isinf(x); });
  if (bad != values.end())
    throw Error({.what = fmt::format("the energy of channel {} is {}", bad - values.begin(), *bad),
                 .where = file.describe(*stored),
                 .hint = "energies are finite and not negative"});
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  if (mean == 0) throw Error({.what = "the energies are all zero", .where = file.describe(*stored)});
  for (float& x : values) x = static_cast<float>(static_cast<double>(x) / mean);
  return values;
}

}  // namespace

InputEnergies load_energies(std::span<const ProcessStep> steps, std::span<const LayerPlan> layers) {
  std::map<std::string, Checkpoint> files;
  InputEnergies out;
  for (const LayerPlan& layer : layers) {
    if (!layer.quantized()) continue;
    const std::string& path = steps[static_cast<size_t>(layer.step)].weight.options.energies;
    if (path.empty()) continue;
    if (layer.hadamard_group > 0 || layer.rotated_inputs > 0)
      throw Error({.what = "the inputs of this layer are rotated, and energies are of inputs that are not",
                   .where = layer.name,
                   .hint = "give it an entry without energies, or exclude it from the rotation"});
    auto found = files.find(path);
    if (found == files.end()) found = files.emplace(path, Checkpoint::open(path)).first;
    out[layer.name] = energies_of(found->second, layer);
  }
  return out;
}

std::string hash_of(const InputEnergies& energies) {
  if (energies.empty()) return {};
  Hasher hasher;
  for (const auto& [layer, values] : energies) {
    hasher.update(std::as_bytes(std::span(layer)));
    hasher.update(std::as_bytes(std::span(values)));
  }
  return hasher.digest();
}

}  // namespace wanslim
