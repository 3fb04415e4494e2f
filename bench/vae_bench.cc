// SPDX-License-Identifier: Apache-2.0
// Time and memory of the VAE and the CLIP encoder at their published sizes, with random weights or those of a
// file.
//
//   vae_bench decode|encode|clip [--frames N] [--height N] [--width N] [--bf16] [--repeat N] [--threads N]
//             [--model PATH] [--in FILE.f32] [--out FILE.f32]
//
// Sizes are pixels; frames 4 n + 1. Prints one line of JSON: the best of the repetitions. --in and --out hold
// the raw floats of latent [16, T, h, w] or video [3, F, H, W]: for comparing with another program on the
// same weights.
#include <fmt/format.h>
#include <sys/resource.h>
#include <time.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>

#include "base/threads.h"
#include "models/clip_vision.h"
#include "models/tensor_lists.h"
#include "models/vae_checkpoint.h"
#include "models/wan_vae.h"

namespace wanslim {
namespace {

struct Options {
  std::string what = "decode", model, in, out;
  int64_t frames = 5, height = 256, width = 256;
  int repeat = 3, threads = 0;
  bool bf16 = false;
};

// Weights of a variance that keeps the size of what passes through them.
class RandomWeights : public WeightSource {
 public:
  explicit RandomWeights(const std::vector<NamedShape>& list) {
    for (const NamedShape& t : list) shapes_[t.name] = t.shape;
  }
  bool has(std::string_view tensor) const override { return shapes_.contains(tensor); }
  Shape shape(std::string_view tensor) const override { return shapes_.find(tensor)->second; }
  DType dtype(std::string_view) const override { return DType::kF32; }
  Tensor load(std::string_view tensor) const override {
    Tensor out(DType::kF32, shape(tensor));
    const bool gain = tensor.ends_with("gamma") || (out.shape().size() == 1 && tensor.ends_with("weight"));
    const float inputs = static_cast<float>(out.count() / out.dim(0));
    const float size = gain ? 0.0f : std::sqrt(3.0f / std::max(10.0f, inputs));
    uint64_t state = std::hash<std::string_view>()(tensor);
    for (float& x : out.as<float>()) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      x = (static_cast<float>(state >> 40) * 0x1p-23f - 1.0f) * size + (gain ? 1.0f : 0.0f);
    }
    return out;
  }

 private:
  std::map<std::string, Shape, std::less<>> shapes_;
};

Tensor make_input(Shape shape, const std::string& file) {
  Tensor out(DType::kF32, std::move(shape));
  if (!file.empty()) {
    std::ifstream(file, std::ios::binary)
        .read(reinterpret_cast<char*>(out.raw().data()), static_cast<std::streamsize>(out.bytes()));
    return out;
  }
  uint64_t state = 1;
  for (float& x : out.as<float>()) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    x = static_cast<float>(state >> 40) * 0x1p-23f - 1.0f;
  }
  return out;
}

double seconds_of(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Of all threads: what to compare on a machine that others use too, with one thread each.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void run(const Options& options) {
  std::unique_ptr<WeightSource> weights;
  const bool clip = options.what == "clip";
  if (options.model.empty()) {
    weights = std::make_unique<RandomWeights>(clip ? clip_tensors() : vae_tensors());
  } else {
    weights = std::make_unique<NamedCheckpoint>(clip ? open_clip(options.model) : open_vae(options.model));
  }
  std::function<Tensor()> forward;
  std::unique_ptr<VaeDecoder> decoder;
  std::unique_ptr<VaeEncoder> encoder;
  std::unique_ptr<ClipVision> vision;
  Tensor input;
  const double load = seconds_of([&] {
    if (clip) {
      const ClipNumerics numerics = options.bf16 ? ClipNumerics::kBF16 : ClipNumerics::kF32;
      vision =
          std::make_unique<ClipVision>(*weights, ClipOptions{.numerics = numerics, .keep_weights = true});
    } else if (options.what == "encode") {
      encoder = std::make_unique<VaeEncoder>(*weights, VaeOptions{.bf16 = options.bf16});
    } else {
      decoder = std::make_unique<VaeDecoder>(*weights, VaeOptions{.bf16 = options.bf16});
    }
  });
  if (clip) {
    input = make_input({3, vision->image_size(), vision->image_size()}, options.in);
    forward = [&] { return vision->forward(input); };
  } else if (encoder) {
    input = make_input({3, options.frames, options.height, options.width}, options.in);
    forward = [&] { return encoder->encode(input); };
  } else {
    input = make_input({16, (options.frames - 1) / 4 + 1, options.height / 8, options.width / 8}, options.in);
    forward = [&] { return decoder->decode(input); };
  }
  double best = INFINITY, best_cpu = INFINITY;
  Tensor output;
  for (int i = 0; i < options.repeat; ++i) {
    const double before = cpu_seconds();
    best = std::min(best, seconds_of([&] { output = forward(); }));
    best_cpu = std::min(best_cpu, cpu_seconds() - before);
  }
  if (!options.out.empty()) {
    std::ofstream(options.out, std::ios::binary)
        .write(reinterpret_cast<const char*>(output.raw().data()),
               static_cast<std::streamsize>(output.bytes()));
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print(R"({{"what": "{}", "frames": {}, "height": {}, "width": {}, "compute": "{}", "threads": {}, )"
             R"("seconds": {:.3f}, "cpu_seconds": {:.3f}, "load_seconds": {:.2f}, "peak_rss_mb": {}}})"
             "\n",
             options.what, options.frames, options.height, options.width, options.bf16 ? "bf16" : "f32",
             threads(), best, best_cpu, load, usage.ru_maxrss / 1024);
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const char* const value = i + 1 < argc ? argv[i + 1] : "0";
    const auto number = [&] { return std::atoi(value); };
    if (name == "--bf16") {
      o.bf16 = true;
      continue;
    }
    if (!name.starts_with("--")) {
      o.what = name;
      continue;
    }
    ++i;
    if (name == "--frames") o.frames = number();
    if (name == "--height") o.height = number();
    if (name == "--width") o.width = number();
    if (name == "--repeat") o.repeat = number();
    if (name == "--threads") o.threads = number();
    if (name == "--model") o.model = value;
    if (name == "--in") o.in = value;
    if (name == "--out") o.out = value;
  }
  return o;
}

}  // namespace
}  // namespace wanslim

int main(int argc, char** argv) {
  const wanslim::Options options = wanslim::parse(argc, argv);
  wanslim::set_threads(options.threads);
  try {
    wanslim::run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
