// SPDX-License-Identifier: Apache-2.0
#include "eval/video_metrics.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/portable_math.h"
#include "base/threads.h"
#include "eval/tensor_error.h"

namespace wanslim {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kWindow = 11;

std::array<double, kWindow> gaussian() {
  std::array<double, kWindow> w{};
  double sum = 0;
  for (size_t i = 0; i < kWindow; ++i) {
    const double d = static_cast<double>(i) - 5;
    sum += w[i] = portable_exp(-d * d / (2 * 1.5 * 1.5));
  }
  for (double& x : w) x /= sum;
  return w;
}

double luma(const uint8_t* p) {
  return 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
}

// Local sums of one row of windows: means of a, b, a^2, b^2, ab.
using Moments = std::array<double, 5>;

double similarity(const Moments& m) {
  constexpr double kC1 = (0.01 * 255) * (0.01 * 255), kC2 = (0.03 * 255) * (0.03 * 255);
  const double var_a = m[2] - m[0] * m[0], var_b = m[3] - m[1] * m[1], cov = m[4] - m[0] * m[1];
  return (2 * m[0] * m[1] + kC1) * (2 * cov + kC2) /
         ((m[0] * m[0] + m[1] * m[1] + kC1) * (var_a + var_b + kC2));
}

double psnr_of(double mse) {
  return mse > 0 ? decibels(255.0 * 255.0 / mse) : std::numeric_limits<double>::infinity();
}

FrameMetrics frame_metrics(const Frames& a, const Frames& b, int64_t t) {
  const std::span<const uint8_t> x = a.frame(t), y = b.frame(t);
  const auto count = static_cast<double>(x.size());
  FrameMetrics out{.temporal = kNone, .motion_a = kNone, .motion_b = kNone};
  int64_t squares = 0;
  for (size_t i = 0; i < x.size(); ++i) squares += (int{x[i]} - y[i]) * (int{x[i]} - y[i]);
  out.mse = static_cast<double>(squares) / count;
  out.psnr = psnr_of(out.mse);
  out.ssim = ssim(x, y, a.height, a.width);
  if (t == 0) return out;
  const std::span<const uint8_t> x0 = a.frame(t - 1), y0 = b.frame(t - 1);
  int64_t motion_a = 0, motion_b = 0, temporal = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const int da = int{x[i]} - x0[i], db = int{y[i]} - y0[i];
    motion_a += std::abs(da);
    motion_b += std::abs(db);
    temporal += std::abs(da - db);
  }
  out.motion_a = static_cast<double>(motion_a) / count;
  out.motion_b = static_cast<double>(motion_b) / count;
  out.temporal = static_cast<double>(temporal) / count;
  return out;
}

// Mean over the frames whose value is a number; NaN if there is none.
double mean(const std::vector<FrameMetrics>& frames, double FrameMetrics::*value) {
  double sum = 0, count = 0;
  for (const FrameMetrics& f : frames) {
    if (std::isnan(f.*value)) continue;
    sum += f.*value;
    ++count;
  }
  return count > 0 ? sum / count : kNone;
}

}  // namespace

double ssim(std::span<const uint8_t> rgb_a, std::span<const uint8_t> rgb_b, int64_t height, int64_t width) {
  const auto h = static_cast<size_t>(height), w = static_cast<size_t>(width);
  CHECK(rgb_a.size() == h * w * 3 && rgb_b.size() == rgb_a.size());
  if (h < kWindow || w < kWindow) return kNone;
  static const std::array<double, kWindow> kWeights = gaussian();
  // Columns first into one row of vertical sums, then along that row.
  std::vector<Moments> column(w);
  double total = 0;
  for (size_t top = 0; top + kWindow <= h; ++top) {
    for (size_t x = 0; x < w; ++x) {
      Moments m{};
      for (size_t k = 0; k < kWindow; ++k) {
        const size_t at = ((top + k) * w + x) * 3;
        const double a = luma(&rgb_a[at]), b = luma(&rgb_b[at]), g = kWeights[k];
        m[0] += g * a;
        m[1] += g * b;
        m[2] += g * a * a;
        m[3] += g * b * b;
        m[4] += g * a * b;
      }
      column[x] = m;
    }
    for (size_t left = 0; left + kWindow <= w; ++left) {
      Moments m{};
      for (size_t k = 0; k < kWindow; ++k) {
        for (size_t i = 0; i < m.size(); ++i) m[i] += kWeights[k] * column[left + k][i];
      }
      total += similarity(m);
    }
  }
  return total / static_cast<double>((h - kWindow + 1) * (w - kWindow + 1));
}

VideoMetrics compare_videos(const Frames& a, const Frames& b) {
  if (a.count != b.count || a.height != b.height || a.width != b.width) {
    throw Error(
        {.what = fmt::format("the videos differ in size: {} frames of {} x {} pixels against {} of {} x {}",
                             a.count, a.width, a.height, b.count, b.width, b.height),
         .hint = "compare results of the same size and frame count"});
  }
  VideoMetrics out;
  out.frames.resize(static_cast<size_t>(a.count));
  parallel_for(a.count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) out.frames[static_cast<size_t>(t)] = frame_metrics(a, b, t);
  });
  out.total.mse = mean(out.frames, &FrameMetrics::mse);
  out.total.psnr = psnr_of(out.total.mse);
  out.total.ssim = mean(out.frames, &FrameMetrics::ssim);
  out.total.temporal = mean(out.frames, &FrameMetrics::temporal);
  out.total.motion_a = mean(out.frames, &FrameMetrics::motion_a);
  out.total.motion_b = mean(out.frames, &FrameMetrics::motion_b);
  return out;
}

}  // namespace wanslim
