// SPDX-License-Identifier: Apache-2.0
#include "base/portable_math.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/error.h"

namespace wanslim {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// ln 2 and pi/2 as sums of parts whose leading ones have zeros at the end, so that a product with a small
// integer is exact.
constexpr double kLn2High = 0x1.62e42fefp-1, kLn2Low = 0x1.473de6af278edp-34;
constexpr double kHalfPi1 = 0x1.921fb544p+0, kHalfPi2 = 0x1.0b4611a6p-34, kHalfPi3 = 0x1.3198a2e037073p-69;

// 2^k for k in the normal range.
double power_of_two(int64_t k) {
  return std::bit_cast<double>(static_cast<uint64_t>(k + 1023) << 52);
}

// log(m) + exponent * ln 2 for m = 1 + f, f in [-0.3, 0.42], by log m = 2 atanh(f / (2 + f)).
double log_of(double f, int64_t exponent) {
  const double s = f / (2 + f), z = s * s;
  double sum = 0;
  for (int k = 25; k >= 3; k -= 2) sum = (sum + 2.0 / k) * z;
  // f - s * (f - sum) equals 2s + s * sum without the rounding of the quotient in the leading term.
  const double k = static_cast<double>(exponent);
  return k * kLn2High + (f - (s * (f - sum) - k * kLn2Low));
}

// sum of r^n / n! from n = first on, divided by r^first / first!, down to 1e-17 of the leading term.
double exp_tail(double r, int first) {
  double sum = 0;
  for (int n = first + 14; n > first; --n) sum = (sum + 1) * (r / n);
  return 1 + sum;
}

}  // namespace

double portable_log(double x) {
  if (x == 0) return -kInfinity;
  if (x == kInfinity) return x;
  CHECK(x >= std::numeric_limits<double>::min());
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  int64_t exponent = static_cast<int64_t>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xfffffffffffffull) | (uint64_t{1023} << 52));
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  return log_of(m - 1, exponent);
}

double portable_log1p(double x) {
  if (x > -0.25 && x < 0.4) return log_of(x, 0);
  // 1 + x loses bits of x; the first-order term puts them back.
  const double u = 1 + x;
  return portable_log(u) + (x - (u - 1)) / u;
}

double portable_exp(double x) {
  if (std::isnan(x)) return x;
  if (x > 709.78) return x < 709.782712893384 ? portable_exp(x - 1) * 2.718281828459045 : kInfinity;
  if (x < -745.2) return 0;
  const double k = std::floor(x * 1.4426950408889634 + 0.5);
  const double r = (x - k * kLn2High) - k * kLn2Low;
  const double value = 1 + r * exp_tail(r, 1);
  const auto exponent = static_cast<int64_t>(k);
  if (exponent < -1000) return value * power_of_two(exponent + 200) * power_of_two(-200);
  return exponent > 1000 ? value * power_of_two(exponent - 100) * power_of_two(100)
                         : value * power_of_two(exponent);
}

double portable_expm1(double x) {
  if (x > -0.5 && x < 0.5) return x * exp_tail(x, 1);
  return portable_exp(x) - 1;
}

SinCos portable_sincos(double x) {
  CHECK(x >= -1048576 && x <= 1048576);
  const double n = std::floor(x * 0.6366197723675814 + 0.5);
  // The first two differences are exact or nearly so; `low` carries what the second one rounds away.
  const double a = x - n * kHalfPi1, b = n * kHalfPi2, high = a - b;
  const double low = ((a - high) - b) - n * kHalfPi3;
  const double r = high + low, rest = (high - r) + low, z = r * r;
  double s = 0, c = 0;
  for (int k = 18; k >= 2; k -= 2) {
    s = (s + 1) * (-z / (k * (k + 1)));
    c = (c + 1) * (-z / (k * (k - 1)));
  }
  // sin(r + rest) = sin r + rest cos r; cos(r + rest) = cos r - rest sin r.
  const double sine = r + (r * s + rest * (1 + c)), cosine = 1 + (c - rest * r);
  switch (static_cast<int64_t>(n) & 3) {
    case 0:
      return {sine, cosine};
    case 1:
      return {cosine, -sine};
    case 2:
      return {-sine, -cosine};
    default:
      return {-cosine, sine};
  }
}

}  // namespace wanslim
