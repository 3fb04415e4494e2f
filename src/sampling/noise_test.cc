// SPDX-License-Identifier: Apache-2.0
#include "sampling/noise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "base/hash.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

// Expected values: torch 2.13.0+cpu on x86-64 with AVX2, printed with all digits.

TEST(TorchCpuNoise, BelowSixteenElementsIsBitEqual) {
  EXPECT_THAT(
      torch_cpu_noise(0, 15),
      ElementsAre(1.5409960746765137f, -0.293428897857666f, -2.1787893772125244f, 0.5684312582015991f,
                  -1.0845223665237427f, -1.3985954523086548f, 0.40334683656692505f, 0.8380263447761536f,
                  -0.7192575931549072f, -0.40334352850914f, -0.5966353416442871f, 0.18203648924827576f,
                  -0.8566746115684509f, 1.1006041765213013f, -1.0711873769760132f));
  EXPECT_THAT(torch_cpu_noise(42, 3),
              ElementsAre(0.33669036626815796f, 0.12880940735340118f, 0.23446236550807953f));
}

TEST(TorchCpuNoise, OneBlock) {
  const std::vector<float> want = {
      -1.1258398294448853f, -1.152360200881958f,  -0.2505785822868347f,  -0.4338788092136383f,
      0.8487103581428528f,  0.6920091509819031f,  -0.31601276993751526f, -2.1152193546295166f,
      0.32227492332458496f, -1.2633347511291504f, 0.34998318552970886f,  0.30813392996788025f,
      0.11984150856733322f, 1.237657904624939f,   1.1167771816253662f,   -0.2472781538963318f};
  EXPECT_THAT(torch_cpu_noise(0, 16), Pointwise(FloatNear(5e-7f), want));
}

TEST(TorchCpuNoise, ARestDrawsTheLastBlockAgain) {
  const std::vector<float> want = {-1.1258398294448853f, -1.6959311962127686f, 0.5666506290435791f,
                                   0.7935083508491516f,  0.5988394618034363f,  -1.5550950765609741f,
                                   -0.3413603901863098f, 1.85300612449646f,    0.46809640526771545f,
                                   -0.5854975581169128f, -0.1733967512845993f, 0.18347793817520142f,
                                   1.3893661499023438f,  1.586334228515625f,   0.946298360824585f,
                                   -0.843676745891571f,  0.9318265914916992f};
  EXPECT_THAT(torch_cpu_noise(0, 17), Pointwise(FloatNear(5e-7f), want));
}

TEST(TorchCpuNoise, SeedsCountTheirLow32Bits) {
  const std::vector<float> a = torch_cpu_noise((uint64_t{1} << 40) + 7, 33);
  EXPECT_NEAR(a[0], -0.8201345205307007f, 5e-7);
  EXPECT_NEAR(a[1], 0.39563116431236267f, 5e-7);
  EXPECT_NEAR(a[32], -1.6370213031768799f, 5e-7);
  EXPECT_EQ(a, torch_cpu_noise(7, 33));
}

TEST(TorchCpuNoise, AWholeLatent) {
  const std::vector<float> z = torch_cpu_noise(123, 16 * 2 * 60 * 104);
  EXPECT_NEAR(z[0], 0.3373701870441437f, 5e-7);
  EXPECT_NEAR(z[1], -0.1777772158384323f, 5e-7);
  EXPECT_NEAR(z[z.size() - 2], -0.7073689103126526f, 5e-7);
  EXPECT_NEAR(z[z.size() - 1], 0.09607996046543121f, 5e-7);
  double sum = 0, squares = 0;
  for (double x : z) {
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum, -766.7480376260319, 2e-3);
  EXPECT_NEAR(squares, 200731.310242659, 1e-2);
}

// Known answers of the Random123 library.
TEST(Philox, KnownAnswers) {
  EXPECT_THAT(philox4x32_10({0, 0, 0, 0}, {0, 0}),
              ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  const uint32_t f = 0xffffffff;
  EXPECT_THAT(philox4x32_10({f, f, f, f}, {f, f}),
              ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
              ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

// Outputs of torch.randn(device="cuda") that were published for the seeds 0 and 42.
TEST(TorchCudaNoise, PublishedValues) {
  const std::vector<float> zero = {-0.92466259f, -0.42534415f, -2.6438457f,  0.14518388f,
                                   -0.12086647f, -0.57972564f, -0.62285122f, -0.32838709f,
                                   -1.07454231f, -0.36314407f, -1.67105067f, 2.26550497f};
  EXPECT_THAT(torch_cuda_noise(0, 12), Pointwise(FloatNear(1e-6f), zero));
  const std::vector<float> forty_two = {0.1940f,  2.1614f, -0.1721f, 0.8491f,  -1.9244f, 0.6530f,  -0.6494f,
                                        -0.8175f, 0.5280f, -1.2753f, -1.6621f, -0.3033f, -0.0926f, 0.1992f,
                                        -1.1204f, 1.8577f, -0.7145f, 0.6881f,  0.7968f};
  EXPECT_THAT(torch_cuda_noise(42, 19), Pointwise(FloatNear(6e-5f), forty_two));  // printed with 4 digits
}

TEST(TorchCudaNoise, ValuesGoRoundTheThreadsOfTheDevice) {
  // One block of 256 threads: the values of a thread's call lie 256 apart, its next call starts 1024 on.
  const CudaGeometry one{.multiprocessors = 1, .threads_per_multiprocessor = 256};
  const CudaGeometry big{.multiprocessors = 8, .threads_per_multiprocessor = 2048};
  const std::vector<float> small = torch_cuda_noise(9, 1500, one), wide = torch_cuda_noise(9, 1500, big);
  for (size_t i = 0; i < 256; ++i) EXPECT_EQ(small[i], wide[i]);
  EXPECT_NE(small[256], wide[256]);
  // Thread 0: the second normal of its first call has the same radius as the first one, a quarter turn away.
  const auto bits = philox4x32_10({0, 0, 0, 0}, {9, 0});
  const double radius = std::sqrt(-2 * std::log((bits[0] + 0.5) * 0x1p-32));
  EXPECT_NEAR(std::hypot(small[0], small[256]), radius, 1e-6);
  const double turn = (bits[3] + 0.5) * 0x1p-32 * 6.283185307179586;
  EXPECT_NEAR(small[512] / small[768], std::tan(turn), 1e-4);
  const auto next = philox4x32_10({1, 0, 3, 0}, {9, 0});
  EXPECT_NEAR(small[1024 + 3],
              std::sqrt(-2 * std::log((next[0] + 0.5) * 0x1p-32)) *
                  std::sin((next[1] + 0.5) * 0x1p-32 * 6.283185307179586),
              1e-6);
}

TEST(Noise, IsStandardNormalAndDependsOnAllSeedBitsWhereTorchDoes) {
  for (const NoiseSource& source : noise_sources()) {
    const std::vector<float> z = source.draw(1, 200'000, {});
    double mean = 0, variance = 0;
    for (double x : z) mean += x / 200'000;
    for (double x : z) variance += (x - mean) * (x - mean) / 200'000;
    EXPECT_NEAR(mean, 0, 0.01) << source.name;
    EXPECT_NEAR(variance, 1, 0.02) << source.name;
    EXPECT_TRUE(source.draw(1, 0, {}).empty());
  }
  EXPECT_NE(torch_cuda_noise(1, 4), torch_cuda_noise((uint64_t{1} << 40) + 1, 4));
  EXPECT_THROW(noise_source("gpu"), Error);
}

TEST(Noise, BitsDoNotDependOnTheMachine) {
  std::vector<float> all;
  for (const NoiseSource& source : noise_sources()) {
    for (const int64_t count : {5, 40, 5000}) {
      const std::vector<float> z =
          source.draw(77, count, {.multiprocessors = 2, .threads_per_multiprocessor = 256});
      all.insert(all.end(), z.begin(), z.end());
    }
  }
  EXPECT_EQ(hash_hex(std::as_bytes(std::span(all))), "215964377b679310ececce81fe6125d0");
}

std::string refusal(const Tensor& file, const Shape& shape) {
  try {
    noise_from_tensor(file, shape, "noise.npy");
  } catch (const Error& e) {
    return e.text;
  }
  return "no error";
}

TEST(NoiseFromTensor, TakesFloatsOfTheRightShape) {
  Tensor f(DType::kBF16, {1, 2, 2});
  for (size_t i = 0; i < 4; ++i) f.as<uint16_t>()[i] = float_to_bf16(static_cast<float>(i) - 1.5f);
  EXPECT_THAT(noise_from_tensor(f, {2, 2}, "f").as<float>(), ElementsAre(-1.5f, -0.5f, 0.5f, 1.5f));
  EXPECT_THAT(refusal(f, {4}), HasSubstr("noise.npy: the noise has shape [1, 2, 2], expected [4]"));
  EXPECT_THAT(refusal(Tensor(DType::kI32, {4}), {4}), HasSubstr("type I32"));
  Tensor nan(DType::kF32, {3});
  std::iota(nan.as<float>().begin(), nan.as<float>().end(), 0.0f);
  nan.as<float>()[2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(refusal(nan, {3}), HasSubstr("not finite, at element 2"));
}

}  // namespace
}  // namespace wanslim
