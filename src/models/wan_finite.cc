// SPDX-License-Identifier: Apache-2.0
#include "models/wan_finite.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

bool all_finite(const Rows& rows) {
  const int64_t count = rows.count * rows.width;
  for (int64_t i = 0; i < count; ++i) {
    const float value = rows.dtype == DType::kF32 ? rows.f32()[i] : bf16_to_float(rows.bf16()[i]);
    if (!std::isfinite(value)) return false;
  }
  return true;
}

// Remembers the first value that is not finite.
class NonFiniteTap : public Tap {
 public:
  bool wants_values() const override { return true; }
  void value(std::string_view name, const Rows& rows) override {
    if (first_.empty() && !all_finite(rows)) first_ = name;
  }
  const std::string& first() const { return first_; }

 private:
  std::string first_;
};

}  // namespace

bool all_finite(const Tensor& tensor) {
  const std::span<const float> values = tensor.as<float>();
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

void require_finite(const Tensor& velocity, WanDit& dit, const WanInput& input, WanPrompt& prompt,
                    const Pass& pass) {
  if (all_finite(velocity)) return;
  NonFiniteTap tap;
  dit.forward(input, prompt, {.tap = &tap, .step = pass.step});
  const std::string where = tap.first().empty() ? "head" : tap.first();
  throw Error{{.what = "a value is no longer finite",
               .where = pass.step >= 0 ? fmt::format("step {}, {}", pass.step + 1, where) : where,
               .hint = "the weights are damaged, or too large for this arithmetic"}};
}

}  // namespace wanslim
