// SPDX-License-Identifier: Apache-2.0
// Against tensors of the official encoder, see tests/data/official/clip/mini/case.json.
#include "models/clip_vision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/threads.h"
#include "io/testing.h"
#include "support/golden.h"
#include "tensor/half.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;
using testing::read_golden;
using testing::rel_l2;
using Tensors = std::map<std::string, Tensor>;

const Path kFile = Path(WANSLIM_TESTDATA) / "official/clip/mini/models_clip_mini.pth";
constexpr double kF32 = 1e-5, kPreprocess = 1e-4;

struct Case {
  const char* name;
  int64_t row_step;    // of f32.out
  double fp16_vs_f32;  // noise of the official f16 run
};
constexpr Case kCases[] = {
    {"square_up", 1, 0.000781383}, {"wide", 1, 0.000812288}, {"tall_down", 4, 0.000773233}};

Frames picture_of(const Tensors& golden) {
  const Tensor& planes = golden.at("in.image_u8");
  Frames out = make_frames(1, planes.dim(1), planes.dim(2));
  const int64_t area = planes.dim(1) * planes.dim(2);
  for (int64_t i = 0; i < 3 * area; ++i)
    out.rgb[static_cast<size_t>(i % area * 3 + i / area)] = planes.as<uint8_t>()[static_cast<size_t>(i)];
  return out;
}

// Rows 0, step, 2 step, ... of a matrix.
std::vector<float> rows(const Tensor& t, int64_t step) {
  std::vector<float> out;
  for (int64_t r = 0; r < t.dim(0); r += step) {
    const auto row = t.as<float>().subspan(static_cast<size_t>(r * t.dim(1)), static_cast<size_t>(t.dim(1)));
    out.insert(out.end(), row.begin(), row.end());
  }
  return out;
}

double distance(const std::vector<float>& got, std::span<const float> want) {
  return rel_l2(std::span<const float>(got), want);
}

class ClipVisionMini : public ::testing::TestWithParam<Case> {
 protected:
  NamedCheckpoint weights_ = open_clip(kFile);
  const Tensors golden_ = read_golden(std::string("official/clip/mini/") + GetParam().name + ".safetensors");
};

TEST_P(ClipVisionMini, PreprocessesAsTheOfficialCode) {
  const Tensor image = ClipVision(weights_).preprocess(picture_of(golden_));
  ASSERT_EQ(image.shape(), (Shape{3, 224, 224}));
  for (const auto& [first, last] : {std::pair{0, 3}, {100, 107}, {220, 223}}) {
    const Tensor& want =
        golden_.at("f32.preprocessed_rows_" + std::to_string(first) + "_" + std::to_string(last));
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t i = 0; i < (last - first + 1) * 224; ++i) {
        const size_t got_at = static_cast<size_t>((c * 224 + first) * 224 + i);
        const size_t want_at = static_cast<size_t>(c * (last - first + 1) * 224 + i);
        ASSERT_NEAR(image.as<float>()[got_at], want.as<float>()[want_at], kPreprocess);
      }
    }
  }
}

TEST_P(ClipVisionMini, EncodesAsTheOfficialCode) {
  const Tensor& want = golden_.at("f32.out");
  for (const bool keep : {false, true}) {
    const ClipVision clip(weights_, {.numerics = ClipNumerics::kF32, .keep_weights = keep});
    const Tensor got = clip.forward(clip.preprocess(picture_of(golden_)));
    ASSERT_EQ(got.shape(), (Shape{257, 160}));
    EXPECT_LT(distance(rows(got, GetParam().row_step), want.as<float>()), kF32);
  }
}

// The official f16 output differs from f32 by its rounding; ours must by no more than 1.5 times as much, and
// stay nearer to the official one than independent roundings would be.
TEST_P(ClipVisionMini, RoundsToF16AsTheOfficialCode) {
  const ClipVision clip(weights_);
  const Tensor got = clip.forward(clip.preprocess(picture_of(golden_)));
  const double noise = distance(rows(got, GetParam().row_step), golden_.at("f32.out").as<float>());
  EXPECT_LT(noise, 1.5 * GetParam().fp16_vs_f32);
  EXPECT_GT(noise, 0.5 * GetParam().fp16_vs_f32);
  std::vector<float> head = rows(got, 1);
  std::vector<float> want;
  const Tensor& half = golden_.at("fp16.out");
  for (int64_t i = 0; i < half.count(); ++i) {
    want.push_back(half.dtype() == DType::kF16 ? f16_to_float(half.as<uint16_t>()[static_cast<size_t>(i)])
                                               : half.as<float>()[static_cast<size_t>(i)]);
  }
  head.resize(want.size());
  EXPECT_LT(distance(head, want), 1.2 * GetParam().fp16_vs_f32);
}

TEST_P(ClipVisionMini, StaysNearInBf16) {
  const ClipVision clip(weights_, {.numerics = ClipNumerics::kBF16});
  const Tensor got = clip.forward(clip.preprocess(picture_of(golden_)));
  EXPECT_LT(distance(rows(got, GetParam().row_step), golden_.at("f32.out").as<float>()), 8e-3);
}

INSTANTIATE_TEST_SUITE_P(Pictures, ClipVisionMini, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

// Gathers the first 40 rows of every value.
class Values : public Tap {
 public:
  bool wants_values() const override { return true; }
  void value(std::string_view name, const Rows& rows) override {
    if (rows.dtype == DType::kF32) seen[std::string(name)].assign(rows.f32(), rows.f32() + 40 * rows.width);
  }
  std::map<std::string, std::vector<float>> seen;
};

TEST(ClipVision, AgreesInEveryLayer) {
  const NamedCheckpoint weights = open_clip(kFile);
  const Tensors golden = read_golden("official/clip/mini/wide.safetensors");
  const ClipVision clip(weights, {.numerics = ClipNumerics::kF32});
  Values values;
  clip.forward(clip.preprocess(picture_of(golden)), {.tap = &values});
  for (const char* name : {"embeddings", "pre_norm", "transformer.0.attn", "transformer.0",
                           "transformer.1.attn", "transformer.1"}) {
    EXPECT_LT(distance(values.seen.at(std::string("visual.") + name),
                       golden.at(std::string("f32.") + name).as<float>()),
              kF32)
        << name;
  }
}

TEST(ClipVision, HasTheSameBitsForAnyNumberOfThreads) {
  const NamedCheckpoint weights = open_clip(kFile);
  const Frames picture = picture_of(read_golden("official/clip/mini/wide.safetensors"));
  for (const ClipNumerics numerics : {ClipNumerics::kF16, ClipNumerics::kF32, ClipNumerics::kBF16}) {
    const ClipVision clip(weights, {.numerics = numerics, .keep_weights = true});
    set_threads(1);
    const Tensor one = clip.forward(clip.preprocess(picture));
    set_threads(7);
    const Tensor many = clip.forward(clip.preprocess(picture));
    set_threads(0);
    EXPECT_TRUE(std::ranges::equal(one.raw(), many.raw()));
  }
}

std::string message(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.text;
  }
  return "no error";
}

TEST(ClipVision, NamesWhatIsWrongWithTheWeights) {
  const testing::TempDir folder;
  const auto error_after = [&](const std::function<void(std::map<std::string, Tensor>&)>& change) {
    const NamedCheckpoint good = open_clip(kFile);
    std::map<std::string, Tensor> tensors;
    for (const StoredTensor& t : good.file().tensors()) {
      if (t.name.starts_with("visual.")) tensors.emplace(t.name, good.file().load(t));
    }
    change(tensors);
    testing::write_safetensors(folder / "clip.safetensors", tensors);
    return message([&] {
      const NamedCheckpoint weights = open_clip(folder / "clip.safetensors");
      const ClipVision clip(weights, {.keep_weights = true});
    });
  };
  EXPECT_EQ(error_after([](auto&) {}), "no error");
  EXPECT_THAT(error_after([](auto& t) { t.erase("visual.patch_embedding.weight"); }),
              HasSubstr("this is no CLIP"));
  EXPECT_THAT(error_after([](auto& t) { t.erase("visual.pos_embedding"); }),
              HasSubstr("\"visual.pos_embedding\": the tensor is missing"));
  EXPECT_THAT(error_after([](auto& t) {
                t["visual.pos_embedding"] = Tensor(DType::kF16, {1, 256, 160});
              }),
              HasSubstr("\"visual.pos_embedding\": shape is [1, 256, 160], expected [1, n * n + 1, 160]"));
  EXPECT_THAT(error_after([](auto& t) {
                t["visual.patch_embedding.weight"] = Tensor(DType::kF16, {150, 3, 14, 14});
              }),
              HasSubstr("expected [multiple of 80, 3, patch, patch]"));
  EXPECT_THAT(error_after([](auto& t) { t.erase("visual.transformer.1.attn.proj.weight"); }),
              HasSubstr("visual.transformer.1.attn.proj.weight"));
  EXPECT_THAT(
      error_after([](auto& t) {
        t["visual.transformer.0.mlp.2.weight"] = Tensor(DType::kF16, {160, 100});
      }),
      HasSubstr("\"visual.transformer.0.mlp.2\": multiplies 100 inputs to 160 outputs, expected 240 to 160"));
  EXPECT_THAT(error_after([](auto& t) { t.erase("visual.transformer.1.norm1.weight"); }),
              HasSubstr("expected at least two layers"));
}

}  // namespace
}  // namespace wanslim
