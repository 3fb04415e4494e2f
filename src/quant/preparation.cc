// SPDX-License-Identifier: Apache-2.0
#include "quant/preparation.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/low_rank.h"
#include "quant/float_tensor.h"
#include "quant/head_rotation.h"
#include "quant/methods.h"
#include "quant/truncated_svd.h"
#include "tensor/dequantize.h"

namespace wanslim {
namespace {

void prepare_convrot(const ProcessStep& step, LayerPlan& layer) {
  if (layer.shape[1] % step.group_size != 0) {
    throw Error({.what = fmt::format("{} inputs do not divide into groups of {} to rotate", layer.shape[1],
                                     step.group_size),
                 .where = layer.name,
                 .hint = "exclude this layer from convrot, or give a smaller group_size"});
  }
  if (layer.hadamard_group > 0) return;
  layer.hadamard_group = step.group_size;
  layer.reason += fmt::format(", inputs rotated in groups of {}", step.group_size);
}

void prepare_svd(const ProcessStep& step, LayerPlan& layer) {
  if (step.rank > std::min(layer.shape[0], layer.shape[1])) {
    throw Error(
        {.what = fmt::format("rank {} is above that of a weight {}", step.rank, to_string(layer.shape)),
         .where = layer.name,
         .hint = "exclude this layer from svd_res, or give a smaller rank"});
  }
  if (layer.low_rank > 0) return;
  layer.low_rank = step.rank;
  layer.reason += fmt::format(", low-rank branch of {}", step.rank);
}

// All that concerns one layer of an attention depends on the others: rotate_attentions.
void prepare_attention(const ProcessStep&, LayerPlan&) {}

struct Row {
  std::string_view type;
  bool reference;  // msModelSlim has it
  void (*prepare)(const ProcessStep& step, LayerPlan& layer);
};
constexpr Row kRows[] = {
    {"convrot", false, prepare_convrot},
    {"rotate_vo", false, prepare_attention},
    {"svd_res", true, prepare_svd},
};

const Row* find_row(std::string_view type) {
  for (const Row& row : kRows) {
    if (row.type == type) return &row;
  }
  return nullptr;
}

void rotate_columns(LinearWeight& linear, int group, Numerics numerics) {
  linear.weight = weight_as_float(linear, numerics);
  const size_t in = static_cast<size_t>(linear.in());
  const std::span<float> all = linear.weight.as<float>();
  parallel_for(linear.out(), 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      regular_hadamard(all.subspan(static_cast<size_t>(r) * in, in), group);
  });
}

// Takes the branch out of the weight, as bf16 will hold it: so the codes also make up for that rounding.
LowRank split_low_rank(LinearWeight& linear, int rank, Numerics numerics) {
  linear.weight = weight_as_float(linear, numerics);
  const LowRank exact = truncated_svd(linear.weight, rank);
  LowRank branch{.up = float_tensor(exact.up, DType::kBF16, linear.name + ".svd_lowrank_l2"),
                 .down = float_tensor(exact.down, DType::kBF16, linear.name + ".svd_lowrank_l1")};
  const Tensor up = float_tensor(branch.up, DType::kF32, ""),
               down = float_tensor(branch.down, DType::kF32, "");
  add_low_rank(linear.weight.as<float>().data(), linear.out(), linear.in(), up.as<float>().data(),
               down.as<float>().data(), rank, -1);
  return branch;
}

}  // namespace

bool is_preparation(const ProcessStep& step) {
  return find_row(step.type) != nullptr;
}

bool supports_preparation(const ProcessStep& step, Numerics numerics, std::string* why) {
  if (numerics != Numerics::kCompat || find_row(step.type)->reference) return true;
  if (why) *why = fmt::format("msModelSlim has no {} to be compatible with", step.type);
  return false;
}

void prepare_layer(const ProcessStep& step, size_t index, LayerPlan& layer) {
  CHECK(layer.quantized());
  if (static_cast<int>(index) > layer.step) {
    throw Error(
        {.what = fmt::format("process[{}] is {} and stands behind process[{}], which quantizes this layer",
                             index, step.type, layer.step),
         .where = layer.name,
         .hint = fmt::format("move {} before linear_quant", step.type)});
  }
  find_row(step.type)->prepare(step, layer);
}

void rotate_attentions(LayerSelection& selection, int head, std::vector<LayerPlan>& layers) {
  for (LayerPlan& o : layers) {
    if (!o.linear || o.block < 0 || !o.name.ends_with(".o") || !selection.selects(o.name)) continue;
    const std::string attention = o.name.substr(0, o.name.size() - 2);
    std::vector<LayerPlan*> members = {&o};
    for (LayerPlan& v : layers) {
      if (v.linear && (v.name == attention + ".v" || v.name == attention + ".v_img")) members.push_back(&v);
    }
    const auto in_float =
        std::find_if(members.begin(), members.end(), [](auto* m) { return !m->quantized(); });
    const auto count = std::count_if(members.begin(), members.end(), [](auto* m) { return m->quantized(); });
    if (count == 0 || o.rotated_inputs > 0) continue;
    // Some runtimes take float layers from the float model, where they are not rotated.
    if (in_float != members.end()) {
      throw Error(
          {.what = fmt::format("rotate_vo takes {}, but {} stays float", attention, (*in_float)->name),
           .where = o.name,
           .hint = fmt::format("quantize it too, or exclude {} from rotate_vo", o.name)});
    }
    if (head < 1 || !std::has_single_bit(static_cast<unsigned>(head)) || o.shape[1] % head != 0) {
      throw Error(
          {.what = fmt::format("rotate_vo rotates heads of a power of two channels, and here are {}", head),
           .where = o.name,
           .hint = "remove rotate_vo from the recipe"});
    }
    for (LayerPlan* member : members) {
      (member == &o ? member->rotated_inputs : member->rotated_outputs) = head;
      member->reason += ", rotated between v and o";
    }
  }
}

QuantizedLinear quantize_layer(const LayerPlan& layer, LinearWeight&& linear, const ProcessStep& step,
                               Numerics numerics) {
  rotate_linear(linear, layer.rotated_outputs, layer.rotated_inputs, numerics);
  LowRank branch;
  if (layer.low_rank > 0) branch = split_low_rank(linear, layer.low_rank, numerics);
  if (layer.hadamard_group > 0) rotate_columns(linear, layer.hadamard_group, numerics);
  QuantizedLinear q = quantize_linear(std::move(linear), step.activation, step.weight, numerics);
  q.hadamard_group = layer.hadamard_group;
  q.lora_up = std::move(branch.up);
  q.lora_down = std::move(branch.down);
  return q;
}

}  // namespace wanslim
