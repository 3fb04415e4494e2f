// SPDX-License-Identifier: Apache-2.0
// Opening LoRA files: every key sorted by the tensor that it changes, all shapes checked, no values read but
// alphas.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "models/float_weights.h"
#include "models/lora.h"
#include "models/lora_config.h"
#include "models/lora_names.h"

namespace wanslim {
namespace {

// Of a matrix [rows, ...] seen as two-dimensional.
int64_t columns(const Shape& shape) {
  return element_count(shape) / std::max<int64_t>(1, shape[0]);
}

Shape without_ones(Shape shape) {
  shape.erase(std::remove(shape.begin(), shape.end(), 1), shape.end());
  return shape;
}

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16 || dtype == DType::kF64;
}

}  // namespace

// Sorts the keys of one file by what they change.
class LoraSet::Reader {
 public:
  Reader(LoraSet& set, size_t file, const LoraModules& modules)
      : set_(set),
        file_(file),
        modules_(modules),
        checkpoint_(set.checkpoints_[file]),
        contents_(set.contents_[file]) {}

  void run() {
    contents_.keys = checkpoint_.tensors().size();
    for (const StoredTensor& tensor : checkpoint_.tensors()) sort(tensor);
    config_ = read_adapter_config(checkpoint_, set_.files_[file_].path);
    size_t matched = 0;
    for (const auto& [module, parts] : modules_seen_) matched += add(module, parts);
    if (matched != 0) return;
    throw Error(
        {.what = fmt::format("none of its {} tensors belongs to a layer of this model", contents_.keys),
         .where = set_.files_[file_].path.string(),
         .hint = "the LoRA is of another model, or of another size of Wan2.1"});
  }

 private:
  using Parts = std::map<LoraPart, const StoredTensor*>;

  [[noreturn]] void fail(const StoredTensor& tensor, std::string what) const {
    throw Error({.what = std::move(what),
                 .where = checkpoint_.describe(tensor),
                 .hint = "the LoRA is damaged or of another model"});
  }

  void leave_out(const StoredTensor& tensor) {
    set_.unmatched_.push_back({set_.files_[file_].path, tensor.name});
  }

  void sort(const StoredTensor& tensor) {
    if (const std::string_view other = other_adapter(tensor.name); !other.empty())
      fail(tensor, fmt::format("this is {}, which cannot be merged here", other));
    const auto key = parse_lora_key(tensor.name);
    const auto module = key ? modules_.find(key->module) : std::nullopt;
    if (!module) return leave_out(tensor);
    if (key->part != LoraPart::kAlpha && !is_float(tensor.dtype))
      fail(tensor, fmt::format("holds {}, expected F32, BF16 or F16", name_of(tensor.dtype)));
    const StoredTensor*& place = modules_seen_[*module][key->part];
    if (place != nullptr) fail(tensor, fmt::format("\"{}\" says the same of {}", place->name, *module));
    place = &tensor;
  }

  // Adds the patches of one module; returns how many.
  size_t add(const std::string& module, const Parts& parts) {
    const auto part = [&](LoraPart wanted) {
      const auto found = parts.find(wanted);
      return found == parts.end() ? nullptr : found->second;
    };
    size_t added = 0;
    if (part(LoraPart::kDown) || part(LoraPart::kUp))
      added += add_pair(module, part(LoraPart::kDown), part(LoraPart::kUp), part(LoraPart::kAlpha),
                        part(LoraPart::kMagnitude));
    else if (part(LoraPart::kMagnitude))
      fail(*part(LoraPart::kMagnitude), "a magnitude without a LoRA");
    else if (part(LoraPart::kAlpha))
      leave_out(*part(LoraPart::kAlpha));
    added += add_diff(modules_.tensor(module) ? module : module + ".weight", part(LoraPart::kDiff));
    added += add_diff(module + ".bias", part(LoraPart::kDiffBias));
    added += add_diff(module + ".modulation", part(LoraPart::kDiffModulation));
    return added;
  }

  size_t add_pair(const std::string& module, const StoredTensor* down, const StoredTensor* up,
                  const StoredTensor* alpha, const StoredTensor* magnitude) {
    if (!down || !up) fail(down ? *down : *up, fmt::format("the {} weight is missing", down ? "up" : "down"));
    const TensorSpec* spec = modules_.tensor(module + ".weight");
    if (!spec || spec->shape.size() < 2) fail(*down, fmt::format("{} has no matrix to add to", module));
    const int64_t out = spec->shape[0], in = columns(spec->shape);
    const int64_t rank = down->shape.empty() ? 0 : down->shape[0];
    const bool fits = rank > 0 && up->shape.size() >= 2 && columns(down->shape) == in &&
                      up->shape[0] == out && columns(up->shape) == rank;
    if (!fits) {
      fail(*down, fmt::format("shapes {} and {} do not make {} {}", to_string(down->shape),
                              to_string(up->shape), spec->name, to_string(spec->shape)));
    }
    Patch patch{.file = file_, .down = down, .up = up, .magnitude = magnitude};
    patch.elements = static_cast<uint64_t>(out * in);
    const bool peft = down->name.find("lora_A") != std::string::npos;
    if (alpha) {
      patch.scale = read_alpha(*alpha) / static_cast<double>(rank);
      ++contents_.alphas;
    } else if (peft) {
      patch.scale = config_.scale(rank);
      if (config_.alpha) contents_.config = config_.source;
    }
    if (magnitude) {
      const int64_t count = element_count(magnitude->shape);
      if (count != out && count != in)
        fail(*magnitude, fmt::format("shape {} fits neither the rows nor the columns of {}",
                                     to_string(magnitude->shape), to_string(spec->shape)));
      ++contents_.magnitudes;
    }
    contents_.least_rank = contents_.pairs == 0 ? rank : std::min(contents_.least_rank, rank);
    contents_.most_rank = std::max(contents_.most_rank, rank);
    ++contents_.pairs;
    set_.patches_[spec->name].push_back(patch);
    return 1;
  }

  size_t add_diff(const std::string& name, const StoredTensor* diff) {
    if (!diff) return 0;
    const TensorSpec* spec = modules_.tensor(name);
    if (!spec) {
      leave_out(*diff);
      return 0;
    }
    if (without_ones(diff->shape) != without_ones(spec->shape))
      fail(*diff, fmt::format("shape {}, {} has {}", to_string(diff->shape), name, to_string(spec->shape)));
    Patch patch{.file = file_, .diff = diff};
    patch.elements = static_cast<uint64_t>(element_count(spec->shape));
    set_.patches_[name].push_back(patch);
    ++contents_.differences;
    return 1;
  }

  double read_alpha(const StoredTensor& alpha) const {
    if (element_count(alpha.shape) != 1)
      fail(alpha, fmt::format("shape {}, expected one number", to_string(alpha.shape)));
    const Tensor raw = checkpoint_.load(alpha);
    const double value = raw.dtype() == DType::kI64 ? static_cast<double>(raw.as<int64_t>()[0])
                                                    : double{to_floats(raw, alpha.name)[0]};
    if (!std::isfinite(value)) fail(alpha, "alpha is no finite number");
    return value;
  }

  LoraSet& set_;
  const size_t file_;
  const LoraModules& modules_;
  const Checkpoint& checkpoint_;
  LoraContents& contents_;
  AdapterConfig config_;
  std::map<std::string, Parts> modules_seen_;
};

LoraSet LoraSet::open(std::span<const LoraFile> files, std::span<const TensorSpec> model) {
  LoraSet set;
  const LoraModules modules(model);
  set.files_.assign(files.begin(), files.end());
  set.contents_.resize(files.size());
  for (const LoraFile& file : files) set.checkpoints_.push_back(Checkpoint::open(file.path));
  for (size_t file = 0; file < files.size(); ++file) Reader(set, file, modules).run();
  return set;
}

LoraFile parse_lora_argument(std::string_view text) {
  LoraFile out{.path = std::string(text), .strength = 1};
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || path_exists(out.path)) return out;
  const std::string number(text.substr(colon + 1));
  size_t used = 0;
  try {
    out.strength = std::stod(number, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  out.path = std::string(text.substr(0, colon));
  if (used == 0 || used != number.size() || !std::isfinite(out.strength)) {
    throw Error({.what = fmt::format("\"{}\" is no strength", number),
                 .where = fmt::format("--lora {}", text),
                 .hint = "write --lora FILE or --lora FILE:0.8",
                 .kind = Error::Kind::kUsage});
  }
  return out;
}

std::string to_string(const LoraContents& c) {
  std::string out;
  const auto add = [&](const std::string& part) { out += (out.empty() ? "" : ", ") + part; };
  if (c.pairs > 0) {
    const std::string ranks = c.least_rank == c.most_rank
                                  ? fmt::format("rank {}", c.least_rank)
                                  : fmt::format("ranks {} to {}", c.least_rank, c.most_rank);
    const std::string alpha = c.alphas == c.pairs ? "alpha in the file"
                              : !c.config.empty() ? "alpha from " + c.config
                              : c.alphas > 0      ? fmt::format("alpha in the file for {}", c.alphas)
                                                  : "no alpha";
    add(fmt::format("{} low-rank update{} ({}, {})", c.pairs, c.pairs == 1 ? "" : "s", ranks, alpha));
  }
  if (c.magnitudes > 0) add(fmt::format("{} magnitudes (DoRA)", c.magnitudes));
  if (c.differences > 0) add(fmt::format("{} difference{}", c.differences, c.differences == 1 ? "" : "s"));
  return out;
}

bool is_adapter(const Checkpoint& checkpoint) {
  const auto& tensors = checkpoint.tensors();
  return std::any_of(tensors.begin(), tensors.end(), [](const StoredTensor& tensor) {
    return !other_adapter(tensor.name).empty() || parse_lora_key(tensor.name);
  });
}

}  // namespace wanslim
