// SPDX-License-Identifier: Apache-2.0
#include "kernels/resize.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/threads.h"

namespace wanslim {
namespace {

uint8_t pattern(size_t i) {
  return static_cast<uint8_t>(static_cast<uint32_t>(i * 2654435761u) >> 24);
}

// Values of two planes of pattern / 256 after resizing: elements 0, 3 and the last but one, and the sum of
// all.
struct Case {
  PlaneSize from, to;
  std::string bytes_hash;  // XXH3-128 of the antialiased uint8 picture
  std::array<double, 4> bicubic, bilinear;
};

// Made by torch 2.13 (interpolate with align_corners=False).
const Case kCases[] = {
    {{13, 9},
     {7, 20},
     "b1d109ca1617f595e8d8a35063116bfa",
     {0.255910187959671, 0.40153512358665466, 0.22136767208576202, 138.4708943478763},
     {0.2393973022699356, 0.43311944603919983, 0.2544923722743988, 138.47811013832688}},
    {{6, 31},
     {6, 12},
     "6bb7264d62dbb7ddc5ebb0863734f8cb",
     {0.540939450263977, 0.8229565620422363, 0.6542816162109375, 69.93094896152616},
     {0.4886067509651184, 0.7340497374534607, 0.5771484375, 70.44075489789248}},
    {{40, 30},
     {16, 16},
     "4ed4f0d30396ebee7546719ac040cf27",
     {0.31258511543273926, 0.30772313475608826, 0.731639564037323, 252.99809201806784},
     {0.34619140625, 0.38446044921875, 0.65380859375, 253.47412109375}},
    {{8, 8},
     {21, 21},
     "4197b77a0cb53f5dc7ecde14bfd23d54",
     {-0.18474815785884857, 0.5524781942367554, 0.5063242316246033, 435.08809928642586},
     {0.0, 0.5143229365348816, 0.5156249403953552, 435.55261916667223}},
    {{100, 70},
     {9, 33},
     "9f88e472e2ffd6d3f3a2cba0a89ba933",
     {0.6921724081039429, 0.6384045481681824, 0.5857812762260437, 298.71683959662914},
     {0.6402731537818909, 0.6045016646385193, 0.5549160838127136, 297.8849164620042}},
    {{5, 5},
     {5, 5},
     "8430d04f7ebace89adaf6b7d41f55d7d",
     {0.0, 0.8515625, 0.6640625, 23.99609375},
     {0.0, 0.8515625, 0.6640625, 23.99609375}},
};

std::vector<float> resized(const Case& c, ResizeFilter filter) {
  std::vector<float> src(static_cast<size_t>(2 * c.from.area())), dst(static_cast<size_t>(2 * c.to.area()));
  for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<float>(pattern(i)) / 256;
  resize_planes(src, c.from, dst, c.to, filter);
  return dst;
}

void expect_values(const std::vector<float>& got, const std::array<double, 4>& want) {
  EXPECT_NEAR(got[0], want[0], 1e-6);
  EXPECT_NEAR(got[3], want[1], 1e-6);
  EXPECT_NEAR(got[got.size() - 2], want[2], 1e-6);
  EXPECT_NEAR(std::accumulate(got.begin(), got.end(), 0.0), want[3], 1e-4);
}

TEST(Resize, FloatsAgreeWithTorch) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.bytes_hash);
    expect_values(resized(c, ResizeFilter::kBicubic), c.bicubic);
    expect_values(resized(c, ResizeFilter::kBilinear), c.bilinear);
  }
}

TEST(Resize, AntialiasedBytesAreThoseOfTorch) {
  for (const Case& c : kCases) {
    std::vector<uint8_t> src(static_cast<size_t>(c.from.area()) * 3),
        dst(static_cast<size_t>(c.to.area()) * 3);
    for (size_t i = 0; i < src.size(); ++i) src[i] = pattern(i);
    resize_rgb_antialiased(src, c.from, dst, c.to);
    EXPECT_EQ(hash_hex(std::as_bytes(std::span(dst))), c.bytes_hash);
  }
}

TEST(Resize, OnePixelFillsEverything) {
  std::vector<float> out(12);
  resize_planes(std::vector<float>{0.25f}, {1, 1}, out, {3, 4}, ResizeFilter::kBicubic);
  for (const float x : out) EXPECT_FLOAT_EQ(x, 0.25f);
}

TEST(Resize, BitsDoNotDependOnThreadsOrMachine) {
  std::string hashes;
  for (const int count : {1, 3}) {
    set_threads(count);
    const std::vector<float> out = resized(kCases[0], ResizeFilter::kBicubic);
    hashes += hash_hex(std::as_bytes(std::span(out)));
  }
  set_threads(0);
  const std::string once = "c1295c61647e2e8b13fd1d869d3d4461";
  EXPECT_EQ(hashes, once + once);
}

}  // namespace
}  // namespace wanslim
