// SPDX-License-Identifier: Apache-2.0
#include "models/vae_layers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/threads.h"
#include "kernels/attention.h"
#include "kernels/channel_norm.h"
#include "kernels/convert.h"

namespace wanslim {
namespace {

// Frames of more bytes than this together, or that become more, go on in smaller groups. More frames at a
// time save convolutions some work.
constexpr size_t kGroupBytes = size_t{160} << 20;

// A frame as a convolution wants it: rounded to bf16, or the frame itself.
Frame operand(Frame frame, DType dtype, FramePool& pool) {
  if (frame.dtype() == dtype) return frame;
  Frame out(pool, frame.height(), frame.width(), frame.channels(), dtype);
  const std::span<const float> from = frame.values();
  const std::span<uint16_t> to(static_cast<uint16_t*>(out.data()), out.count());
  parallel_for(static_cast<int64_t>(from.size()), 1 << 16, [&](int64_t begin, int64_t end) {
    const size_t first = static_cast<size_t>(begin), count = static_cast<size_t>(end - begin);
    narrow_bf16(from.subspan(first, count), to.subspan(first, count));
  });
  return out;
}

Frame copy(const Frame& frame, FramePool& pool) {
  Frame out(pool, frame.height(), frame.width(), frame.channels(), frame.dtype());
  std::memcpy(out.data(), frame.data(), frame.bytes());
  return out;
}

// The place in the network for error messages, and the pool.
struct Context {
  const VaeLayer& layer;
  FramePool& pool;

  void norm_to(const Frame& x, std::span<const float> gamma, bool silu, DType dtype, void* out) const {
    if (channel_norm(x.values(), gamma, silu, dtype, out)) return;
    throw Error({.what = "a value is not finite or too large",
                 .where = fmt::format("VAE, in \"{}\", frame {} there", layer.name, layer.frames_seen),
                 .hint = "the checkpoint or the input is damaged"});
  }
  Frame norm(const Frame& x, std::span<const float> gamma, bool silu, DType dtype) const {
    Frame out(pool, x.height(), x.width(), x.channels(), dtype);
    norm_to(x, gamma, silu, dtype, out.data());
    return out;
  }
  // With SiLU; reuses the memory of `x` if it can.
  Frame norm_away(Frame x, std::span<const float> gamma, DType dtype) const {
    if (dtype != DType::kF32) return norm(x, gamma, true, dtype);
    norm_to(x, gamma, true, dtype, x.data());
    return x;
  }
};

Frame run_one(const Conv& conv, const Frame& x, FramePool& pool) {
  Frame out(pool, conv.out_height(x.height()), conv.out_width(x.width()), conv.spec().out);
  const void* const input = x.data();
  float* const output = out.values().data();
  conv.run({&input, 1}, x.height(), x.width(), {&output, 1});
  return out;
}

FrameList forward(NormConv& body, FrameList frames, bool last, const Context& context) {
  for (Frame& x : frames) {
    x = body.gamma.empty() ? operand(std::move(x), body.conv.input_dtype(), context.pool)
                           : context.norm_away(std::move(x), body.gamma, body.conv.input_dtype());
  }
  return body.conv.push(std::move(frames), last, context.pool);
}

FrameList forward(ResidualBlock& body, FrameList frames, bool last, const Context& context) {
  FrameList hidden;
  for (const Frame& x : frames)
    hidden.push_back(context.norm(x, body.first.gamma, true, body.first.conv.input_dtype()));
  hidden = body.first.conv.push(std::move(hidden), last, context.pool);
  for (Frame& h : hidden)
    h = context.norm_away(std::move(h), body.second.gamma, body.second.conv.input_dtype());
  if (body.shortcut) {
    for (Frame& x : frames) x = run_one(*body.shortcut, x, context.pool);
  }
  return body.second.conv.push(std::move(hidden), last, context.pool, std::move(frames));
}

FrameList forward(PixelAttention& body, FrameList frames, bool /*last*/, const Context& context) {
  for (Frame& x : frames) {
    const int64_t tokens = x.height() * x.width(), dim = x.channels();
    const Frame normed = context.norm(x, body.gamma, false, DType::kF32);
    const auto project = [&](const Frame& from, const PackedWeight& weight, const std::vector<float>& bias) {
      Frame out(context.pool, x.height(), x.width(), dim);
      gemm_f32(from.values().data(), tokens, weight, {.bias = bias.data(), .f32 = out.values().data()});
      return out;
    };
    Frame k = project(normed, body.k, body.k_bias), v = project(normed, body.v, body.v_bias);
    const PackedKeys keys = pack_keys_f32(k.values(), v.values(), tokens, 1, dim);
    const Frame q = project(normed, body.q, body.q_bias);
    attention_f32(q.values().data(), tokens, keys, 1.0f / std::sqrt(static_cast<float>(dim)),
                  v.values().data());
    gemm_f32(v.values().data(), tokens, body.proj,
             {.bias = body.proj_bias.data(), .f32 = x.values().data(), .add = true});
  }
  return frames;
}

FrameList forward(Downsample& body, FrameList frames, bool last, const Context& context) {
  FrameList out;
  for (Frame& x : frames) {
    const Frame input = operand(std::move(x), body.spatial.input_dtype(), context.pool);
    Frame half = run_one(body.spatial, input, context.pool);
    if (!body.time) {
      out.push_back(std::move(half));
    } else if (!body.started) {
      body.started = true;
      body.window.push_back(copy(half, context.pool));
      out.push_back(std::move(half));
    } else {
      body.window.push_back(std::move(half));
    }
    if (body.window.size() < 3) continue;
    const void* inputs[3];
    for (size_t i = 0; i < 3; ++i) inputs[i] = body.window[i].data();
    const Frame& newest = body.window[2];
    Frame made(context.pool, newest.height(), newest.width(), body.time->spec().out);
    float* const output = made.values().data();
    body.time->run(inputs, newest.height(), newest.width(), {&output, 1});
    out.push_back(std::move(made));
    body.window.erase(body.window.begin(), body.window.begin() + 2);
  }
  if (last) body.window.clear();
  return out;
}

FrameList forward(Upsample& body, FrameList frames, bool last, const Context& context) {
  if (body.time) {
    FrameList first;
    if (!body.started && !frames.empty()) {
      body.started = true;
      first.push_back(std::move(frames.front()));
      frames.erase(frames.begin());
    }
    if (!frames.empty()) frames = body.time->push(std::move(frames), last, context.pool);
    frames.insert(frames.begin(), std::make_move_iterator(first.begin()),
                  std::make_move_iterator(first.end()));
  }
  for (Frame& x : frames) {
    const Frame input = operand(std::move(x), body.spatial.input_dtype(), context.pool);
    x = run_one(body.spatial, input, context.pool);
  }
  return frames;
}

void reset_body(NormConv& body) {
  body.conv.reset();
}
void reset_body(ResidualBlock& body) {
  body.first.conv.reset();
  body.second.conv.reset();
}
void reset_body(PixelAttention& /*body*/) {}
void reset_body(Downsample& body) {
  body.window.clear();
  body.started = false;
}
void reset_body(Upsample& body) {
  if (body.time) body.time->reset();
  body.started = false;
}

size_t bytes_of(const NormConv& body) {
  return body.conv.bytes();
}
size_t bytes_of(const ResidualBlock& body) {
  return bytes_of(body.first) + bytes_of(body.second) + (body.shortcut ? body.shortcut->bytes() : 0);
}
size_t bytes_of(const PixelAttention& body) {
  return body.q.bytes() + body.k.bytes() + body.v.bytes() + body.proj.bytes();
}
size_t bytes_of(const Downsample& body) {
  return body.spatial.bytes() + (body.time ? body.time->bytes() : 0);
}
size_t bytes_of(const Upsample& body) {
  return body.spatial.bytes() + (body.time ? body.time->bytes() : 0);
}

// Bytes that come out for each that goes in, roughly.
size_t growth_of(const VaeLayer& layer) {
  const auto* up = std::get_if<Upsample>(&layer.body);
  if (up == nullptr) return 1;
  const ConvSpec& spec = up->spatial.spec();
  return std::max<size_t>(1, static_cast<size_t>((up->time ? 8 : 4) * spec.out / spec.in));
}

}  // namespace

CausalConv::CausalConv(Conv first, Conv second) {
  CHECK(first.spec().frames == second.spec().frames && first.input_dtype() == second.input_dtype());
  convs_.push_back(std::move(first));
  convs_.push_back(std::move(second));
}

size_t CausalConv::bytes() const {
  size_t sum = 0;
  for (const Conv& conv : convs_) sum += conv.bytes();
  return sum;
}

FrameList CausalConv::push(FrameList frames, bool last, FramePool& pool, FrameList onto) {
  CHECK(!frames.empty() && (onto.empty() || (onto.size() == frames.size() && convs_.size() == 1)));
  const size_t before = static_cast<size_t>(convs_[0].spec().frames) - 1;
  const int64_t height = frames[0].height(), width = frames[0].width();
  std::vector<const void*> inputs(before - history_.size(), nullptr);
  for (const Frame& f : history_) inputs.push_back(f.data());
  for (const Frame& f : frames) inputs.push_back(f.data());

  FrameList out(frames.size() * convs_.size());
  for (size_t c = 0; c < convs_.size(); ++c) {
    std::vector<float*> outputs;
    std::vector<const float*> adds;
    for (size_t i = 0; i < frames.size(); ++i) {
      Frame& to = out[i * convs_.size() + c];
      to = onto.empty()
               ? Frame(pool, convs_[c].out_height(height), convs_[c].out_width(width), convs_[c].spec().out)
               : std::move(onto[i]);
      outputs.push_back(to.values().data());
      if (!onto.empty()) adds.push_back(outputs.back());
    }
    convs_[c].run(inputs, height, width, outputs, adds);
  }
  for (Frame& f : frames) history_.push_back(std::move(f));
  const size_t keep = last ? 0 : std::min(before, history_.size());
  history_.erase(history_.begin(), history_.end() - static_cast<std::ptrdiff_t>(keep));
  return out;
}

void VaeStack::push_from(size_t index, FrameList frames, bool last, const Sink& sink) {
  if (index == layers.size()) {
    for (Frame& frame : frames) sink(std::move(frame));
    return;
  }
  VaeLayer& layer = layers[index];
  const size_t each = frames.empty() ? 1 : frames[0].bytes() * growth_of(layer);
  const size_t group = std::max<size_t>(1, kGroupBytes / each);
  for (size_t begin = 0; begin < frames.size(); begin += group) {
    const size_t end = std::min(frames.size(), begin + group);
    const bool last_group = last && end == frames.size();
    FrameList part(std::make_move_iterator(frames.begin() + static_cast<std::ptrdiff_t>(begin)),
                   std::make_move_iterator(frames.begin() + static_cast<std::ptrdiff_t>(end)));
    const Context context{layer, *pool_};
    FrameList out = std::visit(
        [&](auto& body) { return forward(body, std::move(part), last_group, context); }, layer.body);
    layer.frames_seen += static_cast<int64_t>(end - begin);
    if (tap) {
      for (const Frame& frame : out) tap(layer.name, frame);
    }
    push_from(index + 1, std::move(out), last_group, sink);
  }
}

void VaeStack::reset() {
  for (VaeLayer& layer : layers) {
    std::visit([](auto& body) { reset_body(body); }, layer.body);
    layer.frames_seen = 0;
  }
  pool_->clear();
}

VaeStack VaeStack::split(size_t index) {
  CHECK(index <= layers.size());
  VaeStack rest;
  const auto from = layers.begin() + static_cast<std::ptrdiff_t>(index);
  rest.layers.assign(std::make_move_iterator(from), std::make_move_iterator(layers.end()));
  layers.erase(from, layers.end());
  return rest;
}

size_t VaeStack::weight_bytes() const {
  size_t sum = 0;
  for (const VaeLayer& layer : layers)
    sum += std::visit([](const auto& body) { return bytes_of(body); }, layer.body);
  return sum;
}

}  // namespace wanslim
