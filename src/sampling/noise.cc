// SPDX-License-Identifier: Apache-2.0
#include "sampling/noise.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

#include "base/error.h"
#include "base/portable_math.h"
#include "base/spelling.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

constexpr double kTwoPi = 6.283185307179586;
constexpr size_t kBlock = 16;  // of torch's normal_fill

// One block in place: 8 uniforms u1 and 8 uniforms u2 become 8 cosines and 8 sines. Each operation is rounded
// to float where torch's vector code does so.
void box_muller_block(std::span<float, kBlock> data) {
  for (size_t j = 0; j < kBlock / 2; ++j) {
    const float u1 = 1 - data[j];  // in (0, 1]
    const float log_u1 = static_cast<float>(portable_log(u1));
    const float radius = std::sqrt(-2 * log_u1);
    const float theta = static_cast<float>(kTwoPi) * data[j + 8];
    const SinCos v = portable_sincos(theta);
    data[j] = radius * static_cast<float>(v.cos);
    data[j + 8] = radius * static_cast<float>(v.sin);
  }
}

std::vector<float> draw_blocks(std::mt19937& engine, size_t count) {
  std::vector<float> out(count);
  const auto fill = [&](std::span<float> part) {
    for (float& x : part) x = static_cast<float>(engine() & 0xffffff) * 0x1p-24f;
  };
  fill(out);
  for (size_t i = 0; i + kBlock <= count; i += kBlock)
    box_muller_block(std::span<float, kBlock>(&out[i], kBlock));
  if (count % kBlock != 0) {
    const std::span<float, kBlock> tail(&out[count - kBlock], kBlock);
    fill(tail);
    box_muller_block(tail);
  }
  return out;
}

std::vector<float> draw_pairs(std::mt19937& engine, size_t count) {
  const auto uniform = [&] {
    const uint64_t high = engine(), low = engine();
    return static_cast<double>((high << 32 | low) & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
  };
  std::vector<float> out;
  while (out.size() < count) {
    const double u1 = uniform(), u2 = uniform();
    const double radius = std::sqrt(-2 * portable_log1p(-u2));
    const SinCos v = portable_sincos(kTwoPi * u1);
    out.push_back(static_cast<float>(radius * v.cos));
    out.push_back(static_cast<float>(radius * v.sin));
  }
  out.resize(count);
  return out;
}

// Two words to two normals, sine first. Source: cuRAND's _curand_box_muller.
std::array<float, 2> curand_box_muller(uint32_t x, uint32_t y) {
  constexpr float kInverse = 0x1p-32f, kInverseTwoPi = static_cast<float>(kTwoPi * 0x1p-32);
  // The device contracts each line to one fused multiply-add: exact in double, then one rounding.
  const auto u = static_cast<float>(static_cast<double>(static_cast<float>(x)) * kInverse + kInverse / 2);
  const auto v =
      static_cast<float>(static_cast<double>(static_cast<float>(y)) * kInverseTwoPi + kInverseTwoPi / 2);
  const float radius = std::sqrt(-2 * static_cast<float>(portable_log(u)));
  const SinCos t = portable_sincos(v);
  return {radius * static_cast<float>(t.sin), radius * static_cast<float>(t.cos)};
}

constexpr NoiseSource kSources[] = {
    {"cpu", "torch.randn on the CPU",
     [](uint64_t seed, int64_t count, const CudaGeometry&) { return torch_cpu_noise(seed, count); }},
    {"cuda", "torch.randn on a CUDA device", torch_cuda_noise},
};

float element(const Tensor& t, size_t i) {
  switch (t.dtype()) {
    case DType::kF32:
      return t.as<float>()[i];
    case DType::kF64:
      return static_cast<float>(t.as<double>()[i]);
    case DType::kBF16:
      return bf16_to_float(t.as<uint16_t>()[i]);
    default:
      return f16_to_float(t.as<uint16_t>()[i]);
  }
}

}  // namespace

std::vector<float> torch_cpu_noise(uint64_t seed, int64_t count) {
  CHECK(count >= 0);
  std::mt19937 engine(static_cast<uint32_t>(seed));
  const auto n = static_cast<size_t>(count);
  return n >= kBlock ? draw_blocks(engine, n) : draw_pairs(engine, n);
}

std::array<uint32_t, 4> philox4x32_10(std::array<uint32_t, 4> c, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * c[0], b = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return c;
}

std::vector<float> torch_cuda_noise(uint64_t seed, int64_t count, const CudaGeometry& geometry) {
  CHECK(count >= 0 && geometry.multiprocessors > 0 && geometry.threads_per_multiprocessor >= 256);
  if (count == 0) return {};
  constexpr int64_t kThreads = 256, kUnroll = 4;
  const int64_t blocks = std::min(geometry.multiprocessors * (geometry.threads_per_multiprocessor / kThreads),
                                  (count + kThreads - 1) / kThreads);
  const int64_t threads = blocks * kThreads;
  const std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  std::vector<float> out(static_cast<size_t>(count));
  // Thread t makes its n-th four values from counter {n, 0, t, 0} and spreads them `threads` apart.
  for (int64_t start = 0, call = 0; start < count; start += threads * kUnroll, ++call) {
    for (int64_t t = 0; t < threads && start + t < count; ++t) {
      const auto word = [](int64_t x, int shift) { return static_cast<uint32_t>(x >> shift); };
      const auto bits = philox4x32_10({word(call, 0), word(call, 32), word(t, 0), word(t, 32)}, key);
      const auto first = curand_box_muller(bits[0], bits[1]), second = curand_box_muller(bits[2], bits[3]);
      const std::array<float, kUnroll> values = {first[0], first[1], second[0], second[1]};
      int64_t at = start + t;
      for (size_t k = 0; k < values.size() && at < count; ++k, at += threads) {
        out[static_cast<size_t>(at)] = values[k];
      }
    }
  }
  return out;
}

std::span<const NoiseSource> noise_sources() {
  return kSources;
}

const NoiseSource& noise_source(std::string_view name) {
  std::vector<std::string> known;
  for (const NoiseSource& row : kSources) {
    if (row.name == name) return row;
    known.emplace_back(row.name);
  }
  throw Error({.what = fmt::format("unknown noise source \"{}\"{}", name, did_you_mean(name, known)),
               .hint = "the sources are cpu and cuda; a file is given by its path",
               .kind = Error::Kind::kUsage});
}

Tensor noise_from_tensor(const Tensor& file, const Shape& shape, std::string_view where) {
  Shape got = file.shape();
  if (got.size() == shape.size() + 1 && got[0] == 1) got.erase(got.begin());
  if (got != shape) {
    throw Error(
        {.what =
             fmt::format("the noise has shape {}, expected {}", to_string(file.shape()), to_string(shape)),
         .where = std::string(where),
         .hint = "the shape follows from --size and --frame_num: [16, (frames - 1) / 4 + 1, height / 8, "
                 "width / 8]"});
  }
  const DType d = file.dtype();
  if (d != DType::kF32 && d != DType::kF64 && d != DType::kBF16 && d != DType::kF16) {
    throw Error({.what = fmt::format("the noise has type {}, expected F32, F64, BF16 or F16", name_of(d)),
                 .where = std::string(where)});
  }
  Tensor out(DType::kF32, shape);
  const std::span<float> values = out.as<float>();
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = element(file, i);
    if (!std::isfinite(values[i])) {
      throw Error({.what = fmt::format("the noise has a value that is not finite, at element {}", i),
                   .where = std::string(where)});
    }
  }
  return out;
}

}  // namespace wanslim
