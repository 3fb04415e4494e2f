// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/threads.h"
#include "kernels/gemm_epilogue.h"
#include "kernels/gemm_micro.h"
#include "kernels/scratch.h"

namespace wanslim {
namespace {

constexpr int64_t kWorthExpanding = 8;  // strips that share a panel

constexpr int64_t ceil_div(int64_t value, int64_t unit) {
  return (value + unit - 1) / unit;
}
constexpr int64_t round_up(int64_t value, int64_t unit) {
  return ceil_div(value, unit) * unit;
}

constexpr int64_t padded_k(int64_t k) {
  return round_up(k, 4);
}

// One panel: `columns` rows of the weight, which become its columns, and zeros up to 32. The inputs of a
// group are a word of 32 bits, so that packing is a transposition of words, done in pieces that stay in the
// first cache.
template <class T>
void pack_panel(const T* rows, int64_t k, int64_t columns, T* to) {
  constexpr int64_t kGroup = 4 / sizeof(T), kPieceWords = 64;
  const int64_t words = k / kGroup, depth = padded_k(k);
  if (k % kGroup == 0) {
    for (int64_t w = 0; w < words; w += kPieceWords) {
      transpose_words(reinterpret_cast<const uint32_t*>(rows) + w, words, columns, kPanel,
                      std::min(kPieceWords, words - w), reinterpret_cast<uint32_t*>(to) + w * kPanel);
    }
    std::memset(to + k * kPanel, 0, static_cast<size_t>((depth - k) * kPanel) * sizeof(T));
    return;
  }
  std::memset(to, 0, static_cast<size_t>(kPanel * depth) * sizeof(T));
  for (int64_t column = 0; column < columns; ++column) {
    for (int64_t i = 0; i < k; ++i) {
      to[(i / kGroup * kPanel + column) * kGroup + i % kGroup] = rows[column * k + i];
    }
  }
}

int64_t element_bytes(GemmType type) {
  return type == GemmType::kF32 ? 4 : type == GemmType::kBF16 ? 2 : 1;
}

template <class T>
void pack_panels(std::span<const T> rows, int64_t first, PackedWeight& weight) {
  const int64_t k = weight.k, depth = padded_k(k), count = k == 0 ? 0 : static_cast<int64_t>(rows.size()) / k;
  CHECK(element_bytes(weight.type) == sizeof(T) && rows.size() == static_cast<size_t>(count * k));
  CHECK(first % kPanel == 0 && first + count <= weight.n);
  CHECK(count % kPanel == 0 || first + count == weight.n);
  T* const data = reinterpret_cast<T*>(weight.data.data());
  parallel_for((count + kPanel - 1) / kPanel, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin * kPanel; row < std::min(count, end * kPanel); row += kPanel) {
      pack_panel(rows.data() + row * k, k, std::min(kPanel, count - row), data + (first + row) * depth);
    }
  });
}

template <class T>
PackedWeight pack(GemmType type, std::span<const T> weight, int64_t n, int64_t k) {
  CHECK(weight.size() == static_cast<size_t>(n * k));
  PackedWeight packed = blank_weight(type, n, k);
  pack_panels(weight, 0, packed);
  return packed;
}

struct Operand {
  const void* data = nullptr;
  int64_t element_bytes = 0, rows = 0;
};

// How the work is cut. Only k decides about the order of sums; it depends on the weight and the target alone.
struct Blocking {
  int64_t m = 0, n = 0, k = 0;
};

// Every block of columns packs the rows of a anew, and every block of rows expands the panels anew: so blocks
// are as large as the threads allow, and the longer side is cut first.
Blocking choose_blocking(const MicroKernel& kernel, int64_t rows, const PackedWeight& weight) {
  const bool expand = kernel.expand != nullptr;
  // Inputs whose words, a row of a strip, fill 6 or 3 KiB: longer strips load and store tiles less often.
  const int64_t deepest = (expand ? 1536 : 768) * kernel.group / kernel.words_per_group;
  const int64_t pieces = std::max<int64_t>(1, ceil_div(weight.k, deepest));
  // Without expansion strips of a block stay in the second cache; with it they come from the third in time.
  const int64_t most_m = expand ? 648 : 96, most_n = pieces == 1 ? weight.n : expand ? 2048 : 1024;
  int64_t row_blocks = ceil_div(rows, most_m), column_blocks = ceil_div(weight.n, most_n);
  while (row_blocks * column_blocks < threads()) {
    const int64_t m = rows / row_blocks, n = weight.n / column_blocks;
    if (m <= kernel.rows && n <= 4 * kPanel) break;
    (m > n ? row_blocks : column_blocks) *= 2;
  }
  if (row_blocks * column_blocks < 4 * threads()) {  // as many for each thread
    while (row_blocks * column_blocks % threads() != 0) ++column_blocks;
  }
  return {.m = round_up(ceil_div(rows, row_blocks), kernel.rows),
          .n = round_up(ceil_div(weight.n, column_blocks), kPanel),
          .k = std::max<int64_t>(4, round_up(ceil_div(weight.k, pieces), 4))};
}

struct Task {
  const MicroKernel& kernel;
  const Operand& a;
  const PackedWeight& weight;
  const Epilogue& epilogue;
  Blocking blocking;
};

void start_tile(const Task& t, int64_t panel, std::byte* tile) {
  const size_t row_bytes = kPanel * 4;
  if (!t.kernel.biased) {
    std::memset(tile, 0, row_bytes * static_cast<size_t>(t.kernel.rows));
    return;
  }
  const std::byte* start = t.weight.start.data() + static_cast<size_t>(panel) * row_bytes;
  for (int64_t r = 0; r < t.kernel.rows; ++r) std::memcpy(tile + r * row_bytes, start, row_bytes);
}

struct Strips {
  const uint32_t* data;
  int64_t count, words;  // words from one to the next
  const uint32_t* at(int64_t s) const { return data + s * words; }
};

// Tiles of all strips += strips * panel over `inputs`. A part of the panel stays in the first cache for all
// strips.
void multiply(const MicroKernel& kernel, const Strips& strips, const std::byte* panel, int64_t inputs,
              std::byte* expanded, std::byte* tile) {
  const int64_t groups = (inputs + kernel.group - 1) / kernel.group;
  const int64_t tile_bytes = kernel.rows * kPanel * 4;
  if (kernel.run != nullptr && (kernel.expand == nullptr || strips.count < kWorthExpanding)) {
    for (int64_t s = 0; s < strips.count; ++s)
      kernel.run(strips.at(s), panel, groups, tile + s * tile_bytes, kPanel);
    return;
  }
  kernel.expand(panel, groups, expanded);
  for (int64_t c = 0; c < kPanel; c += kernel.columns, expanded += kernel.part_bytes(groups)) {
    for (int64_t s = 0; s < strips.count; ++s) {
      kernel.run_part(strips.at(s), expanded, groups, tile + s * tile_bytes + c * 4, kPanel);
    }
  }
}

// Output rows [m0, m1), panels [p0, p1).
void run_block(const Task& t, int64_t m0, int64_t m1, int64_t p0, int64_t p1) {
  const int64_t rows = t.kernel.rows, strips = (m1 - m0 + rows - 1) / rows, depth = padded_k(t.weight.k);
  const int64_t element = element_bytes(t.weight.type);
  const int64_t strip_words = t.kernel.strip_words(t.blocking.k);
  const int64_t tile_bytes = rows * kPanel * 4;
  const bool single = t.blocking.k >= t.weight.k;  // then one panel of tiles is enough
  const int64_t tiles = strips * (single ? 1 : p1 - p0);
  const int64_t expanded_bytes = t.kernel.expanded_bytes((t.blocking.k + 3) / t.kernel.group);
  std::byte* scratch =
      thread_scratch(static_cast<size_t>(strips * strip_words * 4 + tiles * tile_bytes + expanded_bytes));
  std::byte* sums = scratch + strips * strip_words * 4;
  std::byte* expanded = sums + tiles * tile_bytes;
  const Strips packed{reinterpret_cast<const uint32_t*>(scratch), strips, strip_words};
  for (int64_t k0 = 0; k0 < t.weight.k; k0 += t.blocking.k) {
    const int64_t inputs = std::min(t.blocking.k, t.weight.k - k0);
    for (int64_t s = 0; s < strips; ++s) {
      const int64_t row = m0 + s * rows;
      const std::byte* source =
          static_cast<const std::byte*>(t.a.data) + (row * t.weight.k + k0) * t.a.element_bytes;
      t.kernel.pack(source, t.weight.k, std::min(rows, m1 - row), inputs,
                    reinterpret_cast<uint32_t*>(scratch) + s * strip_words);
    }
    for (int64_t p = p0; p < p1; ++p) {
      const std::byte* panel = t.weight.data.data() + (p * depth + k0) * kPanel * element;
      std::byte* const tile = sums + (single ? 0 : (p - p0) * strips) * tile_bytes;
      for (int64_t s = 0; k0 == 0 && s < strips; ++s) start_tile(t, p, tile + s * tile_bytes);
      multiply(t.kernel, packed, panel, inputs, expanded, tile);
      if (k0 + inputs < t.weight.k) continue;
      run_epilogue(t.epilogue, tile, t.weight.type == GemmType::kS8,
                   {.row = m0, .rows = m1 - m0, .column = p * kPanel, .n = t.weight.n});
    }
  }
}

void run(const MicroKernel& kernel, const Operand& a, const PackedWeight& weight, const Epilogue& epilogue) {
  CHECK(epilogue.bf16 != nullptr || epilogue.f32 != nullptr);
  if (a.rows == 0 || weight.n == 0) return;
  const Task task{kernel, a, weight, epilogue, choose_blocking(kernel, a.rows, weight)};
  const Blocking& b = task.blocking;
  const int64_t row_blocks = ceil_div(a.rows, b.m), column_blocks = ceil_div(weight.n, b.n);
  parallel_for(row_blocks * column_blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t m0 = i / column_blocks * b.m, n0 = i % column_blocks * b.n;
      run_block(task, m0, std::min(a.rows, m0 + b.m), n0 / kPanel,
                (std::min(weight.n, n0 + b.n) + kPanel - 1) / kPanel);
    }
  });
}

}  // namespace

PackedWeight blank_weight(GemmType type, int64_t n, int64_t k) {
  const int64_t bytes = round_up(n, kPanel) * padded_k(k) * element_bytes(type);
  return {.type = type, .n = n, .k = k, .data = Buffer(static_cast<size_t>(bytes))};
}

void pack_rows(std::span<const float> rows, int64_t first, PackedWeight& weight) {
  pack_panels(rows, first, weight);
}

void pack_rows(std::span<const uint16_t> rows, int64_t first, PackedWeight& weight) {
  pack_panels(rows, first, weight);
}

PackedWeight pack_f32(std::span<const float> weight, int64_t n, int64_t k) {
  return pack(GemmType::kF32, weight, n, k);
}

PackedWeight pack_bf16(std::span<const uint16_t> weight, int64_t n, int64_t k) {
  return pack(GemmType::kBF16, weight, n, k);
}

PackedWeight pack_s8(std::span<const int8_t> weight, int64_t n, int64_t k) {
  CHECK(k <= 131072);  // 128 * 128 * k < 2^31
  PackedWeight packed = pack(GemmType::kS8, weight, n, k);
  const int64_t padded = round_up(n, kPanel);
  packed.start = Buffer(static_cast<size_t>(padded) * sizeof(int32_t));
  int32_t* start = reinterpret_cast<int32_t*>(packed.start.data());
  std::fill(start, start + padded, 0);
  parallel_for(n, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int32_t sum = 0;
      for (int64_t i = 0; i < k; ++i) sum += weight[static_cast<size_t>(row * k + i)];
      start[row] = -128 * sum;
    }
  });
  return packed;
}

void gemm_f32(const float* a, int64_t m, const PackedWeight& weight, const Epilogue& epilogue) {
  CHECK(weight.type != GemmType::kS8);
  const MicroKernels& kernels = micro_kernels();
  run(weight.type == GemmType::kF32 ? kernels.f32 : kernels.f32_bf16, {a, 4, m}, weight, epilogue);
}

void gemm_bf16(const uint16_t* a, int64_t m, const PackedWeight& weight, const Epilogue& epilogue) {
  CHECK(weight.type == GemmType::kBF16);
  run(micro_kernels().bf16, {a, 2, m}, weight, epilogue);
}

void gemm_s8(const int8_t* a, int64_t m, const PackedWeight& weight, const Epilogue& epilogue) {
  CHECK(weight.type == GemmType::kS8);
  CHECK(epilogue.row_scale != nullptr && epilogue.column_scale != nullptr);
  run(micro_kernels().s8, {a, 1, m}, weight, epilogue);
}

}  // namespace wanslim
