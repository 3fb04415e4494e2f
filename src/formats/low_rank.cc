// SPDX-License-Identifier: Apache-2.0
#include "formats/low_rank.h"

#include <fmt/format.h>

#include "base/error.h"
#include "formats/loader_checks.h"

namespace wanslim {
namespace {

constexpr std::string_view kDown = ".svd_lowrank_l1", kUp = ".svd_lowrank_l2", kDynamic = "_DYNAMIC";

}  // namespace

std::string low_rank_type(const std::string& type) {
  if (!type.ends_with(kDynamic)) return type + "_SVD";
  return type.substr(0, type.size() - kDynamic.size()) + "_SVD" + std::string(kDynamic);
}

std::string without_low_rank(std::string_view type, bool* low_rank) {
  std::string out(type);
  const size_t at = out.rfind("_SVD");
  *low_rank = at != std::string::npos;
  return *low_rank ? out.erase(at, 4) : out;
}

void add_low_rank_tensors(const LayerPlan& layer, std::vector<OutTensor>& out) {
  if (layer.low_rank == 0) return;
  const auto add = [&](std::string_view suffix, Shape shape) {
    out.push_back({.name = layer.name + std::string(suffix),
                   .dtype = DType::kBF16,
                   .shape = std::move(shape),
                   .type = "FLOAT"});
  };
  add(kDown, {layer.low_rank, layer.shape[1]});
  add(kUp, {layer.shape[0], layer.low_rank});
}

void add_low_rank_values(const QuantizedLinear& q, std::vector<Encoded>& out) {
  if (q.lora_down.empty()) return;
  CHECK(q.lora_down.dtype() == DType::kBF16 && q.lora_up.dtype() == DType::kBF16);
  out.push_back(borrow(q.lora_down));
  out.push_back(borrow(q.lora_up));
}

void check_low_rank(const Checkpoint& file, const std::string& layer, int64_t out, int64_t in,
                    VerifyReport& report) {
  const StoredTensor* down = file.find(layer + std::string(kDown));
  const int64_t rank = down && down->shape.size() == 2 ? down->shape[0] : 1;
  expect_tensor(file, layer + std::string(kDown), DType::kBF16, {rank, in}, report);
  expect_tensor(file, layer + std::string(kUp), DType::kBF16, {out, rank}, report);
}

void load_low_rank(const WeightSource& source, const std::string& layer, QuantizedLinear& q) {
  q.lora_down = source.load(layer + std::string(kDown));
  q.lora_up = source.load(layer + std::string(kUp));
  for (const Tensor* t : {&q.lora_down, &q.lora_up}) {
    if (!info(t->dtype()).is_float || t->shape().size() != 2)
      throw Error({.what = fmt::format("a side of the low-rank branch is {} {}", name_of(t->dtype()),
                                       to_string(t->shape())),
                   .where = layer});
  }
}

}  // namespace wanslim
