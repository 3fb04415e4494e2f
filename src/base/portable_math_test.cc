// SPDX-License-Identifier: Apache-2.0
#include "base/portable_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "base/hash.h"

namespace wanslim {
namespace {

// Distance in units in the last place of `exact`, which has more bits than double.
double ulps(double value, long double exact) {
  const double e = static_cast<double>(exact);
  const double unit = std::max(std::abs(std::nextafter(e, INFINITY) - e), 1e-300);
  return static_cast<double>(std::abs(static_cast<long double>(value) - exact) / unit);
}

// Values spread over the exponents and mantissas, the same on every machine.
std::vector<double> grid(double from, double to, int count) {
  std::vector<double> out;
  for (int i = 0; i < count; ++i) out.push_back(from + (to - from) * ((i + 0.37) / count));
  return out;
}

TEST(PortableMath, IsWithinTwoUnitsOfTheExactValue) {
  double log_error = 0, log1p_error = 0, exp_error = 0, expm1_error = 0;
  for (double x : grid(1e-7, 4, 20011))
    log_error = std::max(log_error, ulps(portable_log(x), std::log(static_cast<long double>(x))));
  for (double x : grid(-300, 300, 20011)) {
    const double big = std::pow(10.0, x);
    log_error = std::max(log_error, ulps(portable_log(big), std::log(static_cast<long double>(big))));
  }
  for (double x : grid(-0.9999999, 3, 20011))
    log1p_error = std::max(log1p_error, ulps(portable_log1p(x), std::log1p(static_cast<long double>(x))));
  for (double x : grid(-700, 709.7, 20011))
    exp_error = std::max(exp_error, ulps(portable_exp(x), std::exp(static_cast<long double>(x))));
  for (double x : grid(-40, 5, 20011))
    expm1_error = std::max(expm1_error, ulps(portable_expm1(x), std::expm1(static_cast<long double>(x))));
  EXPECT_LT(log_error, 2);
  EXPECT_LT(log1p_error, 2);
  EXPECT_LT(exp_error, 2);
  EXPECT_LT(expm1_error, 2);
}

TEST(PortableMath, SineAndCosineKeepTheirBitsAfterManyTurns) {
  double near = 0, far = 0;
  for (double x : grid(-7, 7, 40009)) {
    const SinCos v = portable_sincos(x);
    near = std::max({near, ulps(v.sin, std::sin(static_cast<long double>(x))),
                     ulps(v.cos, std::cos(static_cast<long double>(x)))});
  }
  for (double x : grid(-1048576, 1048576, 40009)) {
    const SinCos v = portable_sincos(x);
    far = std::max({far, std::abs(v.sin - static_cast<double>(std::sin(static_cast<long double>(x)))),
                    std::abs(v.cos - static_cast<double>(std::cos(static_cast<long double>(x))))});
  }
  EXPECT_LT(near, 2);
  EXPECT_LT(far, 4e-16);
}

TEST(PortableMath, EndsOfTheRanges) {
  EXPECT_EQ(portable_log(1), 0);
  EXPECT_EQ(portable_log(0), -INFINITY);
  EXPECT_EQ(portable_exp(0), 1);
  EXPECT_EQ(portable_exp(-INFINITY), 0);
  EXPECT_EQ(portable_exp(INFINITY), INFINITY);
  EXPECT_EQ(portable_expm1(-INFINITY), -1);
  EXPECT_EQ(portable_expm1(-1e-30), -1e-30);
  EXPECT_EQ(portable_log1p(1e-30), 1e-30);
  EXPECT_GT(portable_exp(709.7827), 1e308);
  EXPECT_EQ(portable_exp(-744.5), std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(portable_sincos(0).sin, 0);
}

// The point of the file: these bits come out on every machine and compiler.
TEST(PortableMath, BitsAreFixed) {
  std::vector<double> out;
  for (double x : grid(1e-6, 100, 5003)) {
    const SinCos v = portable_sincos(x);
    out.insert(out.end(),
               {portable_log(x), portable_log1p(x), portable_exp(-x), portable_expm1(-x), v.sin, v.cos});
  }
  EXPECT_EQ(hash_hex(std::as_bytes(std::span(out))), "984b14f6acb10a657a38de5c6dc1d0dd");
}

}  // namespace
}  // namespace wanslim
