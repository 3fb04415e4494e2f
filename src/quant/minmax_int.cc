// SPDX-License-Identifier: Apache-2.0
#include "quant/minmax_int.h"

#include "quant/int_rows.h"

namespace wanslim {

QuantizedLinear quantize_int_minmax(const LinearWeight& linear, const QuantScheme& scheme,
                                    Numerics numerics) {
  const CodeRange range = code_range(scheme);
  return quantize_int_rows(linear, scheme, numerics, [&](const IntRun& run) {
    return numerics == Numerics::kCompat ? reference_scale(run.absmax, range, Working::kBf16)
                                         : choose_scale(run.values, run.absmax, range);
  });
}

}  // namespace wanslim
