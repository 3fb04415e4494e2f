// SPDX-License-Identifier: Apache-2.0
#include "sampling/denoise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "models/wan_testing.h"

namespace wanslim {
namespace {

using ::testing::HasSubstr;
using testing::read_golden;
using testing::rel_l2;
using testing::Tensors;

Tensor tensor_of(const Tensor& t, Shape shape) {
  Tensor out(t.dtype(), std::move(shape));
  CHECK(out.bytes() == t.bytes());
  std::copy(t.raw().begin(), t.raw().end(), out.raw().begin());
  return out;
}

// A reference run: its inputs, model and settings.
struct Loop {
  Tensors inputs;
  Json settings;
  Tensor clip;
  std::shared_ptr<const WeightSource> source;
  WanDit dit;
  WanPrompt prompt, negative;
  DenoiseJob job;
  DenoiseState state;

  Loop(const std::string& name, const std::string& run, Compute compute,
       std::shared_ptr<const WeightSource> weights = nullptr)
      : inputs(read_golden("official/loops/" + name + "/inputs.safetensors")),
        settings(testing::read_golden_json("official/loops/" + name + "/case.json")["cases"][run]),
        source(weights ? weights : testing::open_model(model(name))),
        dit(source, testing::open_model(model(name))->geometry(), {.compute = compute}) {
    if (const auto at = inputs.find("f32.clip_fea"); at != inputs.end()) {
      clip = tensor_of(at->second, {at->second.dim(1), at->second.dim(2)});
      job.condition = &inputs.at("f32.y");
    }
    prompt = dit.embed_prompt(inputs.at("in.context"), clip.empty() ? nullptr : &clip);
    negative = dit.embed_prompt(inputs.at("in.context_null"), clip.empty() ? nullptr : &clip);
    job.solver = &solver(settings["solver"].get<std::string>());
    job.schedule = make_schedule(job.solver->first_sigma, settings["steps"].get<int64_t>(),
                                 settings["shift"].get<double>());
    job.guidance = settings["guide_scale"].get<double>();
    state.latent = inputs.at("in.noise").clone();
  }
  static std::string model(const std::string& name) { return name == "i2v" ? "i2v" : "t2v"; }
  void run(const DenoiseHooks& hooks = {}) { denoise(dit, prompt, &negative, job, state, hooks); }
};

double distance(const DenoiseState& state, std::span<const float> want) {
  return rel_l2(std::as_const(state.latent).as<float>(), want);
}

std::vector<float> latent(const DenoiseState& state) {
  return {state.latent.as<float>().begin(), state.latent.as<float>().end()};
}

class OfficialLoop : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(OfficialLoop, LatentsAgreeInFloatAndMixedPrecision) {
  const auto [name, run] = GetParam();
  const std::string folder = std::string("official/loops/") + name;
  const Json info = testing::read_golden_json(folder + "/case.json");
  const Tensors golden = read_golden(folder + "/" + run + ".safetensors");
  const Tensor& latents = golden.at("f32.latents");
  Loop loop(name, run, Compute::kF32);
  const size_t size = loop.state.latent.as<float>().size();
  loop.run({.after_unit = {}, .after_step = [&](const DenoiseState& state) {
              const auto step = static_cast<size_t>(state.solver.step);
              if (latents.dim(0) != loop.job.schedule.steps() + 1) return;
              EXPECT_LT(distance(state, latents.as<float>().subspan(step * size, size)), 1e-4)
                  << "step " << step;
            }});
  const auto last = latents.as<float>().subspan(latents.as<float>().size() - size);
  EXPECT_LT(distance(loop.state, last), info["tolerance"]["f32_impl"]["rel_l2_final"].get<double>());
  Loop mixed(name, run, Compute::kBF16);
  mixed.run();
  EXPECT_LT(distance(mixed.state, last),
            1.5 * info["cases"][run]["noise"]["bf16_vs_f32_final"]["rel_l2"].get<double>());
}

INSTANTIATE_TEST_SUITE_P(Denoise, OfficialLoop,
                         ::testing::Values(std::pair("t2v", "unipc"), std::pair("t2v", "dpmpp"),
                                           std::pair("t2i", "unipc"), std::pair("t2i", "dpmpp"),
                                           std::pair("i2v", "unipc"), std::pair("i2v", "dpmpp")),
                         [](const auto& at) { return std::string(at.param.first) + "_" + at.param.second; });

TEST(Denoise, GoesOnFromAnyStepToTheSameBits) {
  for (const char* run : {"unipc", "dpmpp"}) {
    Loop whole("t2i", run, Compute::kBF16);
    std::vector<DenoiseState> states;
    whole.run({.after_unit = {}, .after_step = [&](const DenoiseState& s) {
                 states.push_back({.latent = s.latent.clone(), .solver = s.solver});
               }});
    for (size_t step : {1u, 3u, 6u}) {
      Loop rest("t2i", run, Compute::kBF16);
      rest.state = std::move(states[step - 1]);
      rest.run();
      EXPECT_EQ(latent(rest.state), latent(whole.state)) << run << " from step " << step;
      EXPECT_EQ(rest.state.solver.step, 6);
    }
  }
}

TEST(Denoise, StoppedWithinAStepTheStateIsThatOfTheLastWholeStep) {
  Loop loop("t2i", "unipc", Compute::kBF16);
  std::vector<float> after_two;
  int units = 0;
  const DenoiseHooks hooks{.after_unit =
                               [&](int64_t) {
                                 if (++units == 5) throw Error{{.what = "stop"}};
                               },
                           .after_step = [&](const DenoiseState& s) { after_two = latent(s); }};
  EXPECT_THROW(loop.run(hooks), Error);
  EXPECT_EQ(loop.state.solver.step, 2);
  EXPECT_EQ(latent(loop.state), after_two);
}

TEST(Denoise, WithoutGuidanceTheNegativePromptIsNotRun) {
  Loop loop("t2i", "unipc", Compute::kF32);
  loop.job.guidance = 1;
  denoise(loop.dit, loop.prompt, nullptr, loop.job, loop.state, {});
  Loop guided("t2i", "unipc", Compute::kF32);
  guided.job.guidance = 1 + 1e-9;
  guided.run();
  EXPECT_LT(distance(loop.state, latent(guided.state)), 1e-5);
}

// One weight turned into numbers that overflow.
struct HugeWeight : WeightSource {
  std::shared_ptr<const WanCheckpoint> model = testing::open_model("t2v");
  bool has(std::string_view name) const override { return model->has(name); }
  Shape shape(std::string_view name) const override { return model->shape(name); }
  DType dtype(std::string_view name) const override {
    return is_huge(name) ? DType::kF32 : model->dtype(name);
  }
  Tensor load(std::string_view name) const override {
    if (!is_huge(name)) return model->load(name);
    Tensor tensor(DType::kF32, model->shape(name));
    std::fill(tensor.as<float>().begin(), tensor.as<float>().end(), 3e38f);
    return tensor;
  }
  static bool is_huge(std::string_view name) { return name == "blocks.1.cross_attn.o.weight"; }
};

TEST(Denoise, LocatesWhatIsNotFinite) {
  Loop loop("t2i", "unipc", Compute::kF32, std::make_shared<HugeWeight>());
  try {
    loop.run();
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.text, HasSubstr("step 1, blocks.1"));
    EXPECT_THAT(error.text, HasSubstr("cross_attn"));
  }
}

}  // namespace
}  // namespace wanslim
