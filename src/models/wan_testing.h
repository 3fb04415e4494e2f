// SPDX-License-Identifier: Apache-2.0
// For tests: the small official transformers under tests/data/official/dit and their recorded inputs.
#pragma once
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "models/wan_checkpoint.h"
#include "models/wan_dit.h"
#include "support/golden.h"

namespace wanslim::testing {

using Tensors = std::map<std::string, Tensor>;

inline std::shared_ptr<const WanCheckpoint> open_model(const std::string& model) {
  Path path = Path(WANSLIM_TESTDATA) / "official/dit" / model;
  if (model == "t2v_comfyui") path /= "wan_mini_t2v_fp32.safetensors";
  return std::make_shared<const WanCheckpoint>(open_wan(path));
}

inline Json read_case(const std::string& model) {
  return parse_json(read_golden_text("official/dit/" + model + "/case.json"), model);
}

// [begin, begin + count) along the first axis.
inline Tensor rows_of(const Tensor& tensor, int64_t begin, int64_t count) {
  Shape shape = tensor.shape();
  const size_t row = tensor.bytes() / static_cast<size_t>(shape[0]);
  shape[0] = count;
  Tensor out(tensor.dtype(), shape);
  std::memcpy(out.raw().data(), tensor.raw().data() + static_cast<size_t>(begin) * row, out.bytes());
  return out;
}

// Item i of a golden case as inputs of a forward.
struct DitItem {
  Tensor clip;
  WanInput input;
  const Tensor* text = nullptr;

  DitItem(const Tensors& t, int64_t i, float vace_scale) {
    const auto find = [&](const std::string& name) {
      const auto at = t.find("in." + name + "." + std::to_string(i));
      return at == t.end() ? nullptr : &at->second;
    };
    input.latent = find("x");
    input.condition = find("y");
    input.vace_context = find("vace_context");
    input.vace_scale = vace_scale;
    const Tensor& times = t.at("in.t");
    input.timestep = static_cast<double>(times.as<int64_t>()[static_cast<size_t>(i)]);
    text = find("context");
    if (const auto at = t.find("in.clip_fea"); at != t.end()) {
      const int64_t images = at->second.dim(0) / times.dim(0);
      const Tensor mine = rows_of(at->second, i * images, images);
      clip = Tensor(mine.dtype(), {images * mine.dim(1), mine.dim(2)});
      std::memcpy(clip.raw().data(), mine.raw().data(), mine.bytes());
    }
  }
  Tensor run(WanDit& dit, const Pass& pass = {}) const {
    WanPrompt prompt = dit.embed_prompt(*text, clip.empty() ? nullptr : &clip, pass);
    return dit.forward(input, prompt, pass);
  }
};

inline double relative(const Tensor& got, const Tensor& want) {
  return rel_l2(got.as<float>(), want.as<float>());
}

inline double largest_difference(const Tensor& got, const Tensor& want) {
  double most = 0;
  for (size_t i = 0; i < static_cast<size_t>(want.count()); ++i) {
    most = std::max(most, std::abs(double{got.as<float>()[i]} - double{want.as<float>()[i]}));
  }
  return most;
}

}  // namespace wanslim::testing
