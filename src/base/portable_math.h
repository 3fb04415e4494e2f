// SPDX-License-Identifier: Apache-2.0
// log, exp, sin and cos in double that give the same bits on every machine: sums and products in a fixed
// order, no libm, no fused multiply-add. For what must not depend on the host: noise, schedules, tables.
// Within 2 units in the last place of the exact value (portable_math_test.cc).
#pragma once

namespace wanslim {

// Natural logarithm of a normal x > 0; -inf for 0.
double portable_log(double x);

// log(1 + x) for x > -1, exact also for small x.
double portable_log1p(double x);

// e^x and e^x - 1 for any x; infinities allowed.
double portable_exp(double x);
double portable_expm1(double x);

struct SinCos {
  double sin = 0, cos = 1;
};
// For |x| <= 2^20; a bug otherwise. Near a multiple of pi the error is below 2^-70 absolute, not relative.
SinCos portable_sincos(double x);

}  // namespace wanslim
