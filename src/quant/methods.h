// SPDX-License-Identifier: Apache-2.0
// The weight quantizers that need no activation data, as one visible table, and the call that runs one of
// them on one Linear. A method takes the weight as the checkpoint stores it and makes plain data that formats
// write.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "quant/linear_weight.h"
#include "tensor/quantized.h"

namespace wanslim {

// What the codes of a row depend on beside that row.
enum class RowsNeed : uint8_t {
  kNothing,
  kAbsmax,  // LinearWeight::absmax
  kAll,     // the other rows
};

struct WeightMethod {
  std::string_view name;                      // as in a recipe's qconfig: "minmax", "ssz", ...
  std::span<const std::string_view> options;  // the keys of `ext` that it reads
  // Whether it makes this scheme with these options; if not, *why says what is wrong. Asked while planning.
  bool (*supports)(const QuantScheme&, const MethodOptions&, Numerics, std::string* why);
  // Throws Error for NaN and infinities. The scheme is supported and fits the shape.
  QuantizedLinear (*run)(const LinearWeight&, const QuantScheme&, const MethodOptions&, Numerics);
  RowsNeed (*rows_need)(const QuantScheme&, const MethodOptions&, Numerics) = nullptr;  // null: kNothing
};

std::span<const WeightMethod> weight_methods();
const WeightMethod* find_weight_method(std::string_view name);  // null if there is none

// What the two sides of a linear_quant step ask for.
QuantScheme scheme_of(const SideConfig& activation, const SideConfig& weight);

// Whether [out, in] divides into the scheme's groups and blocks; if not, *why says what is wrong.
bool fits_shape(const QuantScheme& scheme, int64_t out, int64_t in, std::string* why);

// Everything that quantize_linear would refuse before it looks at a weight: unknown method, scheme or option
// value, data-dependent activation. Throws Error placed at the recipe's line.
void check_sides(const SideConfig& activation, const SideConfig& weight, Numerics numerics);

// Quantizes one Linear. Parallel inside; the same bytes for any number of threads and any SIMD target. Throws
// what check_sides throws, and Error naming the layer for a shape that does not fit, NaN or infinity.
QuantizedLinear quantize_linear(LinearWeight&& linear, const SideConfig& activation, const SideConfig& weight,
                                Numerics numerics);

}  // namespace wanslim
