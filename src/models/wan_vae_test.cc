// SPDX-License-Identifier: Apache-2.0
// Against tensors of the official VAE, see tests/data/official/vae/*/case.json.
#include "models/wan_vae.h"

#include <gtest/gtest.h>

#include <map>

#include "base/threads.h"
#include "kernels/conv_micro.h"
#include "models/vae_checkpoint.h"
#include "support/golden.h"

namespace wanslim {
namespace {

using testing::read_golden;
using testing::rel_l2;
using Tensors = std::map<std::string, Tensor>;

constexpr double kRelative = 1e-5, kAbsoluteToRms = 1e-4;  // tolerance.f32_impl

Path data(const std::string& name) {
  return Path(WANSLIM_TESTDATA) / "official/vae" / name;
}

void expect_near(const Tensor& got, const Tensor& want) {
  ASSERT_EQ(got.shape(), want.shape());
  const auto a = got.as<float>(), b = want.as<float>();
  EXPECT_LT(rel_l2(a, b), kRelative);
  double squares = 0, largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    squares += static_cast<double>(b[i]) * b[i];
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - b[i]));
  }
  EXPECT_LT(largest, kAbsoluteToRms * std::sqrt(squares / static_cast<double>(a.size())));
}

// Gathers what a tap sees as [channels, frames, height, width] per layer.
class Taps {
 public:
  VaeStack::Tap tap() {
    return [this](std::string_view layer, const Frame& frame) {
      auto& seen = seen_[std::string(layer)];
      seen.shape = {frame.channels(), 0, frame.height(), frame.width()};
      seen.frames.emplace_back(frame.values().begin(), frame.values().end());
    };
  }
  Tensor at(const std::string& layer) {
    const Seen& seen = seen_.at(layer);
    Shape shape = seen.shape;
    shape[1] = static_cast<int64_t>(seen.frames.size());
    Tensor out(DType::kF32, shape);
    size_t i = 0;
    for (int64_t c = 0; c < shape[0]; ++c) {
      for (const std::vector<float>& frame : seen.frames) {
        for (size_t at = static_cast<size_t>(c); at < frame.size(); at += static_cast<size_t>(shape[0]))
          out.as<float>()[i++] = frame[at];
      }
    }
    return out;
  }

 private:
  struct Seen {
    Shape shape;
    std::vector<std::vector<float>> frames;
  };
  std::map<std::string, Seen> seen_;
};

class WanVae : public ::testing::TestWithParam<const char*> {
 protected:
  NamedCheckpoint weights_ = open_vae(data(GetParam()));
};

TEST_P(WanVae, DecodesAsTheOfficialCode) {
  VaeDecoder decoder(weights_);
  for (const char* name : {"dec1", "dec2", "dec3"}) {
    SCOPED_TRACE(name);
    const Tensors golden = read_golden(std::string("official/vae/mini/") + name + ".safetensors");
    expect_near(decoder.decode(golden.at("in.latent")), golden.at("f32.video_unclamped"));
  }
}

TEST_P(WanVae, EncodesAsTheOfficialCode) {
  VaeEncoder encoder(weights_);
  for (const char* name : {"enc1", "enc5", "enc9"}) {
    SCOPED_TRACE(name);
    const Tensors golden = read_golden(std::string("official/vae/mini/") + name + ".safetensors");
    expect_near(encoder.encode(golden.at("in.video")), golden.at("f32.latent"));
  }
}

TEST_P(WanVae, AgreesInEveryLayer) {
  VaeDecoder decoder(weights_);
  VaeEncoder encoder(weights_);
  Taps taps;
  decoder.set_tap(taps.tap());
  encoder.set_tap(taps.tap());
  Tensors dec = read_golden("official/vae/mini/dec3.safetensors");
  Tensors enc = read_golden("official/vae/mini/enc9.safetensors");
  decoder.decode(dec.at("in.latent"));
  encoder.encode(enc.at("in.video"));
  dec.merge(enc);
  int layers = 0;
  for (const auto& [name, want] : dec) {
    if (!name.starts_with("f32.encoder.") && !name.starts_with("f32.decoder.")) continue;
    SCOPED_TRACE(name);
    expect_near(taps.at(name.substr(4)), want);
    ++layers;
  }
  EXPECT_EQ(layers, 21);
}

INSTANTIATE_TEST_SUITE_P(Namings, WanVae,
                         ::testing::Values("mini", "mini/Wan2.1_VAE.pth", "mini_diffusers",
                                           "mini_diffusers/diffusion_pytorch_model.safetensors"));

class WanVaeMini : public ::testing::Test {
 protected:
  NamedCheckpoint weights_ = open_vae(data("mini"));
  Tensors dec_ = read_golden("official/vae/mini/dec3.safetensors");
  Tensors enc_ = read_golden("official/vae/mini/enc9.safetensors");
};

TEST_F(WanVaeMini, HasTheSameBitsForAnyNumberOfThreads) {
  for (const bool bf16 : {false, true}) {
    VaeDecoder decoder(weights_, {.bf16 = bf16});
    VaeEncoder encoder(weights_, {.bf16 = bf16});
    set_threads(1);
    const Tensor video = decoder.decode(dec_.at("in.latent")), latent = encoder.encode(enc_.at("in.video"));
    set_threads(6);
    const Tensor video6 = decoder.decode(dec_.at("in.latent")), latent6 = encoder.encode(enc_.at("in.video"));
    set_threads(0);
    EXPECT_TRUE(std::ranges::equal(video.raw(), video6.raw()));
    EXPECT_TRUE(std::ranges::equal(latent.raw(), latent6.raw()));
  }
}

// A decoder that has run before, or was interrupted, decodes the next video as a new one does.
TEST_F(WanVaeMini, ForgetsAVideoWhenItEnds) {
  VaeDecoder decoder(weights_);
  const Tensor fresh = decoder.decode(dec_.at("in.latent"));
  int frames = 0;
  EXPECT_ANY_THROW(decoder.decode(dec_.at("in.latent"), [&](const VideoFrame&) {
    if (++frames == 3) throw std::runtime_error("stop");
  }));
  EXPECT_TRUE(std::ranges::equal(decoder.decode(dec_.at("in.latent")).raw(), fresh.raw()));
}

// No further from float than PyTorch's autocast, which is 1.5e-2 (decode) and 1.06e-2 (encode) away here.
TEST_F(WanVaeMini, StaysNearInBf16) {
  if (conv_micro_bf16() == nullptr) GTEST_SKIP() << "no bf16 instructions";
  const Tensor video = VaeDecoder(weights_, {.bf16 = true}).decode(dec_.at("in.latent"));
  const double decode = rel_l2(video.as<float>(), std::as_const(dec_).at("f32.video_unclamped").as<float>());
  EXPECT_LT(decode, 1.5e-2);
  EXPECT_GT(decode, 1e-4);
  const Tensor latent = VaeEncoder(weights_, {.bf16 = true}).encode(enc_.at("in.video"));
  const double encode = rel_l2(latent.as<float>(), std::as_const(enc_).at("f32.latent").as<float>());
  EXPECT_LT(encode, 1.06e-2);
}

TEST_F(WanVaeMini, GivesFramesOneByOne) {
  VaeDecoder decoder(weights_);
  std::vector<int64_t> indices;
  decoder.decode(dec_.at("in.latent"), [&](const VideoFrame& frame) {
    indices.push_back(frame.index);
    EXPECT_EQ(frame.height, 16);
    EXPECT_EQ(frame.width, 24);
    EXPECT_EQ(frame.rgb.size(), 16u * 24 * 3);
  });
  EXPECT_EQ(indices, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8}));
}

// Float, and bf16 where that is another arithmetic.
std::vector<bool> arithmetics() {
  return conv_micro_bf16() == nullptr ? std::vector<bool>{false} : std::vector<bool>{false, true};
}

Tensor waves(const Shape& shape) {
  Tensor out(DType::kF32, shape);
  for (size_t i = 0; i < out.as<float>().size(); ++i)
    out.as<float>()[i] = std::sin(static_cast<float>(i * i % 1009));
  return out;
}

// Both ways across; a strip of a single latent pixel too.
TEST_F(WanVaeMini, HasTheSameBitsInStrips) {
  for (const bool bf16 : arithmetics()) {
    VaeDecoder decoder(weights_, {.bf16 = bf16});
    for (const auto& [shape, strips] :
         {std::pair{Shape{16, 2, 1, 19}, 2}, {Shape{16, 1, 17, 2}, 3}, {Shape{16, 1, 3, 3}, 3}}) {
      const Tensor latent = waves(shape), whole = decoder.decode(latent);
      EXPECT_TRUE(std::ranges::equal(decoder.decode(latent, strips).raw(), whole.raw())) << to_string(shape);
    }
  }
}

TEST_F(WanVaeMini, EncodesTheSameBitsInStrips) {
  for (const bool bf16 : arithmetics()) {
    VaeEncoder encoder(weights_, {.bf16 = bf16});
    for (const auto& [shape, strips] :
         {std::pair{Shape{3, 5, 8, 152}, 2}, {Shape{3, 1, 136, 16}, 3}, {Shape{3, 1, 24, 24}, 3}}) {
      const Tensor video = waves(shape), whole = encoder.encode(video);
      EXPECT_TRUE(std::ranges::equal(encoder.encode(video, strips).raw(), whole.raw())) << to_string(shape);
    }
  }
}

// The weights with an attention more, after the last of decoder.upsamples.
class WithLateAttention : public WeightSource {
 public:
  explicit WithLateAttention(const WeightSource& source) : source_(source) {
    const auto add = [&](const std::string& name, const Shape& shape) {
      Tensor& value = added_["decoder.upsamples.15." + name] = Tensor(DType::kF32, shape);
      std::ranges::fill(value.as<float>(), 0.1f);
    };
    add("norm.gamma", {8, 1, 1});
    add("to_qkv.weight", {24, 8, 1, 1});
    add("to_qkv.bias", {24});
    add("proj.weight", {8, 8, 1, 1});
    add("proj.bias", {8});
  }
  bool has(std::string_view t) const override { return added(t) != nullptr || source_.has(t); }
  Shape shape(std::string_view t) const override { return added(t) ? added(t)->shape() : source_.shape(t); }
  DType dtype(std::string_view t) const override { return added(t) ? DType::kF32 : source_.dtype(t); }
  Tensor load(std::string_view t) const override { return added(t) ? added(t)->clone() : source_.load(t); }

 private:
  const Tensor* added(std::string_view name) const {
    const auto found = added_.find(std::string(name));
    return found == added_.end() ? nullptr : &found->second;
  }
  const WeightSource& source_;
  Tensors added_;
};

TEST_F(WanVaeMini, IsNotCutWherePixelsFarApartMeet) {
  const WithLateAttention weights(weights_);
  VaeDecoder decoder(weights);
  const Tensor& latent = dec_.at("in.latent");
  EXPECT_TRUE(std::ranges::equal(decoder.decode(latent, 2).raw(), decoder.decode(latent).raw()));
}

TEST_F(WanVaeMini, KeepsLessInStrips) {
  const Tensor latent = waves({16, 2, 1, 48});
  const auto peak = [&](int64_t strips) {
    VaeDecoder decoder(weights_);
    decoder.decode(latent, strips);
    return static_cast<double>(decoder.peak_frame_bytes());
  };
  EXPECT_LT(peak(4), 0.6 * peak(1));
}

TEST(VaeStrips, CoverThePictureWithWhatTheyDependOn) {
  const std::vector<VaeStrip> strips = vae_strips(104, 3, 7);
  ASSERT_EQ(strips.size(), 3u);
  EXPECT_EQ(strips[0].first, 0);
  EXPECT_EQ(strips[0].last, strips[0].end + 7);
  EXPECT_EQ(strips[1].begin, strips[0].end);
  EXPECT_EQ(strips[1].first, strips[1].begin - 7);
  EXPECT_EQ(strips[2].end, 104);
  EXPECT_EQ(strips[2].last, 104);
}

TEST_F(WanVaeMini, HasTheHaloThatPlansCountOn) {
  EXPECT_EQ(VaeDecoder(weights_).halo(), kVaeHalo);
  EXPECT_LE(VaeEncoder(weights_).halo(), kVaeHalo);
}

std::string message(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.text;
  }
  return "no error";
}

TEST_F(WanVaeMini, RefusesSizesThatDoNotFit) {
  VaeDecoder decoder(weights_);
  VaeEncoder encoder(weights_);
  EXPECT_EQ(message([&] {
              decoder.decode(Tensor(DType::kF32, {15, 1, 2, 2}));
            }),
            "the latent is F32 [15, 1, 2, 2], expected F32 [16, frames, height, width]");
  EXPECT_EQ(message([&] {
              decoder.decode(Tensor(DType::kF32, {16, 0, 2, 2}));
            }),
            "the latent is F32 [16, 0, 2, 2], expected F32 [16, frames, height, width]");
  EXPECT_EQ(message([&] {
              encoder.encode(Tensor(DType::kF32, {3, 4, 16, 16}));
            }),
            "the video has 4 frames, expected 4 n + 1");
  EXPECT_EQ(message([&] {
              encoder.encode(Tensor(DType::kF32, {3, 5, 16, 20}));
            }),
            "the video is 20 x 16 pixels, expected multiples of 8");
}

TEST_F(WanVaeMini, NamesTheLayerWhereAValueIsNotFinite) {
  Tensor latent = dec_.at("in.latent").clone();
  latent.as<float>()[7] = NAN;  // second frame
  EXPECT_EQ(message([&] { VaeDecoder(weights_).decode(latent); }),
            "VAE, in \"decoder.middle.0\", frame 1 there: a value is not finite or too large (the checkpoint "
            "or the "
            "input is damaged)");
}

}  // namespace
}  // namespace wanslim
