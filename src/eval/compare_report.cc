// SPDX-License-Identifier: Apache-2.0
// The comparison as JSON and as text.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "eval/compare.h"

namespace wanslim {
namespace {

Json number(double x) {
  return std::isfinite(x) ? Json(x) : Json(nullptr);
}

Json to_json(const FrameMetrics& m) {
  Json j;
  j["psnr_db"] = number(m.psnr);
  j["ssim"] = number(m.ssim);
  j["temporal_difference"] = number(m.temporal);
  j["mse"] = number(m.mse);
  j["motion_a"] = number(m.motion_a);
  j["motion_b"] = number(m.motion_b);
  j["identical"] = m.mse == 0;
  return j;
}

Json to_json(const TensorError& e) {
  Json j;
  j["rel_l2"] = number(e.rel_l2);
  j["cosine"] = number(e.cosine);
  j["sqnr_db"] = number(e.sqnr_db);
  j["max_abs"] = number(e.max_abs);
  j["identical"] = e.identical;
  return j;
}

template <class Value>
Json per_frame(const std::vector<Value>& frames) {
  Json list = Json::array();
  for (size_t i = 0; i < frames.size(); ++i) {
    Json j;
    j["frame"] = i;
    j.update(to_json(frames[i]));
    list.push_back(std::move(j));
  }
  return list;
}

Json to_json(const ComparedItem& item) {
  Json j;
  j["name"] = item.name;
  if (item.video) {
    j["kind"] = "video";
    j["frames"] = item.video->a.count;
    j["height"] = item.video->a.height;
    j["width"] = item.video->a.width;
    j["total"] = to_json(item.video->metrics.total);
    j["per_frame"] = per_frame(item.video->metrics.frames);
  } else {
    j["kind"] = "tensor";
    j["shape"] = item.tensor->shape;
    j["total"] = to_json(item.tensor->total);
    j["per_frame"] = per_frame(item.tensor->frames);
  }
  return j;
}

std::string text_of(const VideoComparison& v) {
  const FrameMetrics& t = v.metrics.total;
  if (t.mse == 0) return fmt::format("{} frames, identical", v.a.count);
  const auto worst =
      std::min_element(v.metrics.frames.begin(), v.metrics.frames.end(),
                       [](const FrameMetrics& x, const FrameMetrics& y) { return x.psnr < y.psnr; });
  std::string out = fmt::format("{} frames, PSNR {:.2f} dB (worst: frame {}, {:.2f} dB)", v.a.count, t.psnr,
                                worst - v.metrics.frames.begin(), worst->psnr);
  if (!std::isnan(t.ssim)) out += fmt::format(", SSIM {:.4f}", t.ssim);
  if (!std::isnan(t.temporal)) {
    out += fmt::format(", temporal difference {:.3f} (motion {:.3f} and {:.3f})", t.temporal, t.motion_a,
                       t.motion_b);
  }
  return out;
}

std::string text_of(const TensorComparison& c) {
  if (c.total.identical) return fmt::format("{}, identical", to_string(c.shape));
  return fmt::format("{}, rel_l2 {:.3e}, cosine {:.6f}, SQNR {:.2f} dB, max_abs {:.3e}", to_string(c.shape),
                     c.total.rel_l2, c.total.cosine, c.total.sqnr_db, c.total.max_abs);
}

}  // namespace

Json to_json(const Comparison& comparison) {
  Json j;
  j["a"] = printable(comparison.a.string());
  j["b"] = printable(comparison.b.string());
  j["only_a"] = comparison.only_a;
  j["only_b"] = comparison.only_b;
  j["items"] = Json::array();
  for (const ComparedItem& item : comparison.items) j["items"].push_back(to_json(item));
  return j;
}

std::string to_text(const Comparison& comparison) {
  std::string out;
  for (const ComparedItem& item : comparison.items) {
    if (!item.name.empty()) out += printable(item.name) + ": ";
    out += (item.video ? text_of(*item.video) : text_of(*item.tensor)) + "\n";
  }
  for (const std::string& name : comparison.only_a) out += fmt::format("only in A: {}\n", printable(name));
  for (const std::string& name : comparison.only_b) out += fmt::format("only in B: {}\n", printable(name));
  return out;
}

}  // namespace wanslim
