// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/gemm_micro.h"
#include "kernels/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace wanslim::HWY_NAMESPACE {
namespace {

using F32 = hn::CappedTag<float, 16>;
using V = hn::Vec<F32>;

HWY_INLINE void store_weight(V p, float* to) {
  hn::StoreU(p, F32(), to);
}

HWY_INLINE void store_weight(V p, uint16_t* to) {
  const hn::RebindToUnsigned<F32> du;
  const hn::Rebind<uint16_t, F32> dh;
  const auto bits = hn::Add(hn::BitCast(du, p), hn::Set(du, 0x8000u));  // p >= 0: ties go up
  hn::StoreU(hn::TruncateTo(dh, hn::ShiftRight<16>(bits)), dh, to);
}

// One row of scores [0, count), a multiple of 16, to weights e^(scale * (score - highest)). `highest` and
// `sum` run over the blocks of keys; the result is the factor by which earlier sums shrink.
template <class T>
HWY_INLINE float weigh_row(const float* HWY_RESTRICT scores, size_t count, float scale, float& highest,
                           float& sum, T* HWY_RESTRICT weights) {
  const F32 d;
  const size_t lanes = hn::Lanes(d);
  V most = hn::Set(d, highest);
  for (size_t i = 0; i < count; i += lanes) most = hn::Max(most, hn::LoadU(d, scores + i));
  const float before = highest;
  highest = hn::GetLane(hn::MaxOfLanes(d, most));
  const V offset = hn::Set(d, highest * scale), factor = hn::Set(d, scale);
  V total = hn::Zero(d);
  for (size_t i = 0; i < count; i += lanes) {
    const V p = exp_v(d, hn::MulSub(hn::LoadU(d, scores + i), factor, offset));
    total = hn::Add(total, p);
    store_weight(p, weights + i);
  }
  const float shrink = before == highest ? 1.0f : std::exp((before - highest) * scale);
  sum = sum * shrink + hn::GetLane(hn::SumOfLanes(d, total));
  return shrink;
}

HWY_INLINE void multiply(float factor, float* values, size_t count) {
  const F32 d;
  for (size_t i = 0; i < count; i += hn::Lanes(d)) {
    hn::StoreU(hn::Mul(hn::Set(d, factor), hn::LoadU(d, values + i)), d, values + i);
  }
}

template <class T>
void weigh_rows(const float* scores, int64_t stride, int64_t rows, int64_t count, float scale, float* highest,
                float* sums, T* weights, float* out, int64_t out_width) {
  for (int64_t r = 0; r < rows; ++r) {
    const float shrink = weigh_row(scores + r * stride, static_cast<size_t>(count), scale, highest[r],
                                   sums[r], weights + r * stride);
    if (shrink != 1.0f) multiply(shrink, out + r * out_width, static_cast<size_t>(out_width));
  }
}

void weigh_rows_f32(const float* scores, int64_t stride, int64_t rows, int64_t count, float scale,
                    float* highest, float* sums, void* weights, float* out, int64_t out_width) {
  weigh_rows(scores, stride, rows, count, scale, highest, sums, static_cast<float*>(weights), out, out_width);
}

void weigh_rows_bf16(const float* scores, int64_t stride, int64_t rows, int64_t count, float scale,
                     float* highest, float* sums, void* weights, float* out, int64_t out_width) {
  weigh_rows(scores, stride, rows, count, scale, highest, sums, static_cast<uint16_t*>(weights), out,
             out_width);
}

}  // namespace
}  // namespace wanslim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "tensor/half.h"

namespace wanslim {
namespace {

HWY_EXPORT(weigh_rows_f32);
HWY_EXPORT(weigh_rows_bf16);
using WeighRows = void (*)(const float*, int64_t, int64_t, int64_t, float, float*, float*, void*, float*,
                           int64_t);

constexpr int64_t kMostKeys = 512;      // keys whose scores exist at a time
constexpr int64_t kExpandedKeys = 256;  // where keys and values are expanded, which have to stay in the cache
// Queries of a task: each task expands the keys and values anew, and is worth it from kWorthExpanding strips
// on.
constexpr int64_t kFewestQueries = 96, kMostQueries = 960, kWorthExpanding = 32;
// A masked score. Its weight is e^-87 = 1e-38 at most, which adds nothing to sums that are at least 1.
constexpr float kMasked = -std::numeric_limits<float>::infinity();

constexpr int64_t round_up(int64_t value, int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

struct Layout {
  int64_t element = 4, width = 0, depth = 0, padded_keys = 0;  // head_dim padded to panels and to groups
  explicit Layout(const PackedKeys& kv)
      : element(kv.type == GemmType::kF32 ? 4 : 2),
        width(round_up(kv.head_dim, kPanel)),
        depth(round_up(kv.head_dim, 4)),
        padded_keys(round_up(kv.keys, kPanel)) {}
  int64_t k_head() const { return padded_keys * depth * element; }
  int64_t v_head() const { return padded_keys * width * element; }
};

template <class T>
PackedKeys pack_keys(GemmType type, std::span<const T> k, std::span<const T> v, int64_t keys, int64_t heads,
                     int64_t head_dim) {
  constexpr int64_t kGroup = 4 / sizeof(T);
  const int64_t stride = heads * head_dim;
  CHECK(k.size() == static_cast<size_t>(keys * stride) && v.size() == k.size());
  PackedKeys kv{.type = type, .heads = heads, .head_dim = head_dim, .keys = keys};
  const Layout layout(kv);
  kv.k = Buffer(static_cast<size_t>(heads * layout.k_head()));
  kv.v = Buffer(static_cast<size_t>(heads * layout.v_head()));
  const int64_t panels = layout.padded_keys / kPanel;
  parallel_for(heads * panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t head = i / panels, first = i % panels * kPanel, count = std::min(kPanel, keys - first);
      T* to_k = reinterpret_cast<T*>(kv.k.data() + head * layout.k_head()) + first * layout.depth;
      std::memset(to_k, 0, static_cast<size_t>(kPanel * layout.depth) * sizeof(T));
      for (int64_t j = 0; j < count; ++j) {
        const T* row = k.data() + (first + j) * stride + head * head_dim;
        for (int64_t c = 0; c < head_dim; ++c) {
          to_k[(c / kGroup * kPanel + j) * kGroup + c % kGroup] = row[c];
        }
      }
      // v: panels of 32 channels, in each the keys in groups.
      T* to_v = reinterpret_cast<T*>(kv.v.data() + head * layout.v_head());
      for (int64_t panel = 0; panel < layout.width / kPanel; ++panel) {
        T* to = to_v + (panel * layout.padded_keys + first) * kPanel;
        std::memset(to, 0, static_cast<size_t>(kPanel * kPanel) * sizeof(T));
        const int64_t channels = std::min(kPanel, head_dim - panel * kPanel);
        for (int64_t j = 0; j < count; ++j) {
          const T* row = v.data() + (first + j) * stride + head * head_dim + panel * kPanel;
          for (int64_t c = 0; c < channels; ++c) to[(j / kGroup * kPanel + c) * kGroup + j % kGroup] = row[c];
        }
      }
    }
  });
  return kv;
}

struct Call {
  const MicroKernel& kernel;
  WeighRows weigh;
  const PackedKeys& kv;
  float scale;
  Layout layout{kv};
  int64_t key_block = kernel.expand ? kExpandedKeys : kMostKeys;  // decides about the order of sums

  bool expands(int64_t strips) const { return kernel.expand != nullptr && strips >= kWorthExpanding; }
  int64_t key_groups() const { return (kv.head_dim + kernel.group - 1) / kernel.group; }
  int64_t key_panel_bytes() const { return kernel.expanded_bytes(key_groups()); }
  int64_t value_panel_bytes() const { return kernel.expanded_bytes(key_block / kernel.group); }
  // Panel of keys from `key` on, and the keys from `key` on of the panel of values from `channel` on.
  const std::byte* key_panel(int64_t head, int64_t key) const {
    return kv.k.data() + head * layout.k_head() + key * layout.depth * layout.element;
  }
  const std::byte* value_panel(int64_t head, int64_t channel, int64_t key) const {
    return kv.v.data() + head * layout.v_head() +
           (channel * layout.padded_keys + key * kPanel) * layout.element;
  }
};

// What a task works in, cut from the thread's scratch memory.
struct Workspace {
  uint32_t* query_strips;
  float* scores;       // strip rows x keys
  std::byte* weights;  // as scores, elements of the type of kv
  uint32_t* weight_strip;
  float* sums;  // queries x width
  float *highest, *total;
  // The panels of a block of keys, expanded; null: not worth it.
  std::byte* keys = nullptr;
  std::byte* values = nullptr;

  Workspace(const Call& call, int64_t strips) {
    const MicroKernel& kernel = call.kernel;
    const int64_t rows = strips * kernel.rows, expanding = call.expands(strips) ? 1 : 0;
    const int64_t sizes[] = {strips * kernel.strip_words(call.kv.head_dim) * 4,
                             kernel.rows * call.key_block * 4,
                             kernel.rows * call.key_block * call.layout.element,
                             kernel.strip_words(call.key_block) * 4,
                             rows * call.layout.width * 4,
                             rows * 4,
                             rows * 4,
                             expanding * call.key_panel_bytes() * call.key_block / kPanel,
                             expanding * call.value_panel_bytes() * call.layout.width / kPanel};
    int64_t total_bytes = 0;
    for (int64_t size : sizes) total_bytes += round_up(size, 64);
    std::byte* at = thread_scratch(static_cast<size_t>(total_bytes));
    auto next = [&at, &sizes, i = 0]() mutable {
      std::byte* here = at;
      at += round_up(sizes[i++], 64);
      return here;
    };
    query_strips = reinterpret_cast<uint32_t*>(next());
    scores = reinterpret_cast<float*>(next());
    weights = next();
    weight_strip = reinterpret_cast<uint32_t*>(next());
    sums = reinterpret_cast<float*>(next());
    highest = reinterpret_cast<float*>(next());
    total = reinterpret_cast<float*>(next());
    if (expanding != 0) keys = next(), values = next();
    std::memset(sums, 0, static_cast<size_t>(rows * call.layout.width) * 4);
    std::fill(highest, highest + rows, kMasked);
    std::fill(total, total + rows, 0.0f);
  }
};

// Keys [first, first + padded) and their values as the loops over strips like them best.
void expand_block(const Call& call, const Workspace& w, int64_t head, int64_t first, int64_t padded) {
  const MicroKernel& kernel = call.kernel;
  for (int64_t j = 0; j < padded; j += kPanel) {
    kernel.expand(call.key_panel(head, first + j), call.key_groups(),
                  w.keys + j / kPanel * call.key_panel_bytes());
  }
  for (int64_t c = 0; c < call.layout.width; c += kPanel) {
    kernel.expand(call.value_panel(head, c, first), padded / kernel.group,
                  w.values + c / kPanel * call.value_panel_bytes());
  }
}

// tile += strip * panel, the panel as it is stored or, if there is one, expanded.
void add_panel(const MicroKernel& kernel, const uint32_t* strip, const std::byte* panel,
               const std::byte* expanded, int64_t groups, float* tile, int64_t stride) {
  if (expanded == nullptr) return kernel.run(strip, panel, groups, tile, stride);
  for (int64_t c = 0; c < kPanel; c += kernel.columns, expanded += kernel.part_bytes(groups))
    kernel.run_part(strip, expanded, groups, tile + c, stride);
}

// Scores of one strip against keys [first, first + count).
void score_strip(const Call& call, const Workspace& w, int64_t head, int64_t strip, int64_t first,
                 int64_t count) {
  const MicroKernel& kernel = call.kernel;
  std::memset(w.scores, 0, static_cast<size_t>(kernel.rows * call.key_block) * 4);
  for (int64_t j = 0; j < count; j += kPanel) {
    add_panel(kernel, w.query_strips + strip * kernel.strip_words(call.kv.head_dim),
              call.key_panel(head, first + j),
              w.keys == nullptr ? nullptr : w.keys + j / kPanel * call.key_panel_bytes(), call.key_groups(),
              w.scores + j, call.key_block);
  }
  if (first + count < call.kv.keys) return;
  for (int64_t r = 0; r < kernel.rows; ++r) {
    float* row = w.scores + r * call.key_block;
    if (call.kv.last_count != 1) {
      row[count - 1] += static_cast<float>(std::log(static_cast<double>(call.kv.last_count)) / call.scale);
    }
    std::fill(row + count, row + round_up(count, kPanel), kMasked);
  }
}

void run_task(const Call& call, const void* q, int64_t q_stride, int64_t head, int64_t rows,
              const Workspace& w) {
  const MicroKernel& kernel = call.kernel;
  const int64_t strips = (rows + kernel.rows - 1) / kernel.rows;
  for (int64_t s = 0; s < strips; ++s) {
    kernel.pack(static_cast<const std::byte*>(q) + s * kernel.rows * q_stride * call.layout.element, q_stride,
                std::min(kernel.rows, rows - s * kernel.rows), call.kv.head_dim,
                w.query_strips + s * kernel.strip_words(call.kv.head_dim));
  }
  for (int64_t first = 0; first < call.kv.keys; first += call.key_block) {
    const int64_t count = std::min(call.key_block, call.kv.keys - first), padded = round_up(count, kPanel);
    if (w.keys != nullptr) expand_block(call, w, head, first, padded);
    for (int64_t s = 0; s < strips; ++s) {
      score_strip(call, w, head, s, first, count);
      const int64_t row = s * kernel.rows;
      float* sums = w.sums + row * call.layout.width;
      call.weigh(w.scores, call.key_block, kernel.rows, padded, call.scale, w.highest + row, w.total + row,
                 w.weights, sums, call.layout.width);
      kernel.pack(w.weights, call.key_block, kernel.rows, padded, w.weight_strip);
      for (int64_t c = 0; c < call.layout.width; c += kPanel) {
        add_panel(kernel, w.weight_strip, call.value_panel(head, c, first),
                  w.values == nullptr ? nullptr : w.values + c / kPanel * call.value_panel_bytes(),
                  padded / kernel.group, sums + c, call.layout.width);
      }
    }
  }
}

inline void store(float value, float& to) {
  to = value;
}
inline void store(float value, uint16_t& to) {
  to = float_to_bf16(value);
}

template <class T>
void attention(const Call& call, const T* q, int64_t queries, T* out) {
  const PackedKeys& kv = call.kv;
  CHECK(kv.keys > 0);
  const int64_t stride = kv.heads * kv.head_dim;
  // Large tasks, but four for each thread.
  const int64_t share = queries * kv.heads / (4 * threads());
  const int64_t block = round_up(std::clamp(share, kFewestQueries, kMostQueries), call.kernel.rows);
  const int64_t blocks = (queries + block - 1) / block;
  parallel_for(kv.heads * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t head = i / blocks, first = i % blocks * block, rows = std::min(block, queries - first);
      const int64_t at = first * stride + head * kv.head_dim;
      const Workspace w(call, (rows + call.kernel.rows - 1) / call.kernel.rows);
      run_task(call, q + at, stride, head, rows, w);
      for (int64_t r = 0; r < rows; ++r) {
        const float inverse = 1.0f / w.total[r];
        for (int64_t c = 0; c < kv.head_dim; ++c) {
          store(w.sums[r * call.layout.width + c] * inverse, out[at + r * stride + c]);
        }
      }
    }
  });
}

}  // namespace

PackedKeys pack_keys_f32(std::span<const float> k, std::span<const float> v, int64_t keys, int64_t heads,
                         int64_t head_dim) {
  return pack_keys(GemmType::kF32, k, v, keys, heads, head_dim);
}

PackedKeys pack_keys_bf16(std::span<const uint16_t> k, std::span<const uint16_t> v, int64_t keys,
                          int64_t heads, int64_t head_dim) {
  return pack_keys(GemmType::kBF16, k, v, keys, heads, head_dim);
}

void attention_f32(const float* q, int64_t queries, const PackedKeys& kv, float scale, float* out) {
  CHECK(kv.type == GemmType::kF32);
  const Call call{micro_kernels().f32, HWY_DYNAMIC_DISPATCH(weigh_rows_f32), kv, scale};
  attention(call, q, queries, out);
}

void attention_bf16(const uint16_t* q, int64_t queries, const PackedKeys& kv, float scale, uint16_t* out) {
  CHECK(kv.type == GemmType::kBF16);
  const Call call{micro_kernels().bf16, HWY_DYNAMIC_DISPATCH(weigh_rows_bf16), kv, scale};
  attention(call, q, queries, out);
}

}  // namespace wanslim
#endif
