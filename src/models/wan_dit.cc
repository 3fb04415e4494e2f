// SPDX-License-Identifier: Apache-2.0
#include "models/wan_dit.h"

#include <algorithm>

#include "base/threads.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

[[noreturn]] void refuse(const char* input, std::string what) {
  throw Error{{.what = std::move(what), .where = input}};
}

void check_grid(const char* name, const Tensor& tensor, int64_t channels, const Shape& like) {
  const Shape expected = {channels, like[1], like[2], like[3]};
  if (tensor.shape() != expected) {
    refuse(name, "has shape " + to_string(tensor.shape()) + ", expected " + to_string(expected));
  }
}

void check_input(const WanInput& input, const WanGeometry& g) {
  CHECK(input.latent != nullptr);
  const Shape& shape = input.latent->shape();
  if (shape.size() != 4 || shape[1] < 1 || shape[2] < 2 || shape[3] < 2 || shape[2] % 2 != 0 ||
      shape[3] % 2 != 0) {
    refuse("latent",
           "has shape " + to_string(shape) + ", expected [channels, frames, even height, even width]");
  }
  check_grid("latent", *input.latent, g.out_dim, shape);
  const bool wants_condition = g.in_dim > g.out_dim;
  if (wants_condition != (input.condition != nullptr)) {
    refuse("condition",
           wants_condition ? "is missing: the model takes images" : "given to a model that takes no images");
  }
  if (wants_condition) check_grid("condition", *input.condition, g.in_dim - g.out_dim, shape);
  const bool vace = !g.vace_layers.empty();
  if (vace != (input.vace_context != nullptr)) {
    refuse("vace_context",
           vace ? "is missing: the model is a VACE model" : "given to a model without VACE blocks");
  }
  if (vace) check_grid("vace_context", *input.vace_context, g.vace_in_dim, shape);
}

}  // namespace

size_t WanPrompt::bytes() const {
  size_t total = context.text.capacity() + context.image.capacity();
  for (const auto& k : keys) total += k ? k->bytes() : 0;
  return total;
}

std::vector<WanDit::Unit> WanDit::list_units(const WanGeometry& g) {
  std::vector<Unit> units;
  const auto add_vace = [&](size_t n) {
    units.push_back({"vace_blocks." + std::to_string(n), true, g.vace_layers[n], static_cast<int64_t>(n)});
  };
  if (!g.vace_layers.empty()) add_vace(0);
  for (int64_t i = 0; i < g.layers; ++i) {
    for (size_t n = 1; n < g.vace_layers.size(); ++n) {
      if (g.vace_layers[n] == i) add_vace(n);
    }
    units.push_back({"blocks." + std::to_string(i), false, -1, i});
  }
  return units;
}

WanDit::WanDit(std::shared_ptr<const WeightSource> source, const WanGeometry& geometry,
               const Options& options)
    : source_(std::move(source)),
      geometry_(geometry),
      compute_(options.compute),
      embed_(*source_, geometry, options.compute),
      head_(*source_, geometry),
      units_(list_units(geometry)),
      store_(
          static_cast<int64_t>(units_.size()),
          [this](int64_t unit) {
            return WanBlock::load(*source_, units_[static_cast<size_t>(unit)].path, geometry_, compute_);
          },
          options.block_budget) {}

WanPrompt WanDit::embed_prompt(const Tensor& text, const Tensor* clip, const Pass& pass) const {
  const Shape& shape = text.shape();
  if (shape.size() != 2 || shape[0] < 1 || shape[0] > geometry_.text_len || shape[1] != geometry_.text_dim) {
    refuse("text", "has shape " + to_string(shape) + ", expected [1.." + std::to_string(geometry_.text_len) +
                       ", " + std::to_string(geometry_.text_dim) + "]");
  }
  if (geometry_.has_image_condition != (clip != nullptr)) {
    refuse("clip_fea",
           clip == nullptr ? "is missing: the model takes images" : "given to a model that takes no images");
  }
  if (clip != nullptr) {
    const int64_t rows = geometry_.image_tokens * (geometry_.has_image_position ? 2 : 1);
    const Shape expected = {rows, geometry_.image_dim};
    if (clip->shape() != expected) {
      refuse("clip_fea", "has shape " + to_string(clip->shape()) + ", expected " + to_string(expected));
    }
  }
  WanPrompt prompt{.context = embed_.context(text, clip, pass), .keys = {}};
  prompt.keys.resize(units_.size());
  return prompt;
}

WanState WanDit::start(const WanInput& input, const Pass& pass) const {
  check_input(input, geometry_);
  WanState state;
  const Shape& shape = input.latent->shape();
  embed_.patches(patch_rows(*input.latent, input.condition, dtype_of(compute_)), state.x, pass);
  embed_.time(input.timestep, state.e, state.e0, pass);
  state.rope = make_rope(geometry_.dim / geometry_.heads, shape[1], shape[2] / 2, shape[3] / 2);
  if (input.vace_context != nullptr) {
    embed_.vace_patches(patch_rows(*input.vace_context, nullptr, dtype_of(compute_)), state.vace, pass);
    state.vace_scale = input.vace_scale;
  }
  return state;
}

void WanDit::run(int64_t unit, const WanBlock& block, WanState& state, WanPrompt& prompt, const Pass& pass) {
  const Unit& u = units_[static_cast<size_t>(unit)];
  std::unique_ptr<WanCrossKeys>& keys = prompt.keys[static_cast<size_t>(unit)];
  if (!keys) keys = std::make_unique<WanCrossKeys>(block.cross_keys(prompt.context, pass));
  const WanBlockCall call{state.e0, state.rope, *keys, u.vace ? state.vace_first : state.first, pass};
  if (u.vace) return run_vace(u, block, call, state);
  block.forward(state.x, call, work_);
  state.first = false;
  const auto& layers = geometry_.vace_layers;
  if (std::find(layers.begin(), layers.end(), u.block) == layers.end()) return;
  add_hint(state);
  if (wants_values(pass.tap)) pass.tap->value(u.path + ".out", state.x);
}

// The first VACE block starts from before_proj(c) + x with x as before block 0, both in the compute dtype.
void WanDit::run_vace(const Unit& unit, const WanBlock& block, const WanBlockCall& call, WanState& state) {
  RowBuffer rows;
  convert_rows(state.vace, rows, dtype_of(compute_));
  const auto target = [&](RowBuffer& to) {
    to.resize(dtype_of(compute_), rows.count(), geometry_.dim);
    LinearTarget t;
    if (compute_ == Compute::kF32) {
      t.f32 = to.f32();
    } else {
      t.bf16 = to.bf16();
    }
    return t;
  };
  if (unit.block == 0) {
    RowBuffer projected;
    block.before_proj()->forward(rows, target(projected), call.pass);
    convert_rows(projected, state.vace, DType::kF32);
    for (int64_t i = 0; i < state.x.count() * state.x.width(); ++i) {
      const float sum = state.vace.f32()[i] + state.x.f32()[i];
      state.vace.f32()[i] = compute_ == Compute::kBF16 ? round_bf16(sum) : sum;
    }
  }
  block.forward(state.vace, call, work_);
  state.vace_first = false;
  convert_rows(state.vace, rows, dtype_of(compute_));
  block.after_proj()->forward(rows, target(state.hint), call.pass);
}

// x += hint * scale; in kBF16 the product is bf16.
void WanDit::add_hint(WanState& state) const {
  RowBuffer hint;
  convert_rows(state.hint, hint, DType::kF32);
  parallel_for(hint.count() * hint.width(), 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float product = hint.f32()[i] * state.vace_scale;
      state.x.f32()[i] += compute_ == Compute::kBF16 ? round_bf16(product) : product;
    }
  });
}

Tensor WanDit::finish(WanState& state, const Pass& pass) const {
  RowBuffer out;
  head_.forward(state.x, state.e, out, pass);
  const auto& grid = state.rope.extent;
  return unpatch_rows(out, geometry_.out_dim, grid[0], grid[1] * 2, grid[2] * 2);
}

Tensor WanDit::forward(const WanInput& input, WanPrompt& prompt, const Pass& pass) {
  WanPrompt* const prompts[] = {&prompt};
  return std::move(forward({&input, 1}, prompts, pass)[0]);
}

std::vector<Tensor> WanDit::forward(std::span<const WanInput> inputs, std::span<WanPrompt* const> prompts,
                                    const Pass& pass) {
  CHECK(inputs.size() == prompts.size());
  std::vector<WanState> states;
  for (const WanInput& input : inputs) states.push_back(start(input, pass));
  for (int64_t u = 0; u < units(); ++u) {
    const std::shared_ptr<const WanBlock> here = block(u);
    for (size_t i = 0; i < states.size(); ++i) run(u, *here, states[i], *prompts[i], pass);
  }
  std::vector<Tensor> results;
  for (WanState& state : states) results.push_back(finish(state, pass));
  return results;
}

}  // namespace wanslim
