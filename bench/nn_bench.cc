// SPDX-License-Identifier: Apache-2.0
// Speed of what runs a model, beside what the machine can do and, if asked, beside PyTorch.
//
//   nn_bench [--repeat N] [--threads N] [--only TEXT] [--model FOLDER] [--json FILE] [--torch FILE] [--cpu 1]
//
// One table: ceilings first, then kernels, then whole parts at published sizes (few blocks: the time of all
// is a multiple). Each round measures the ceiling and the row back to back; a row shows the medians of time
// and of the share. --only: rows whose name holds the text. --model: a transformer to load, for the row that
// compares loading with reading. --torch: what bench/torch_bench.py wrote. --cpu 1: processor time in place
// of time, for a machine that others use too.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <fstream>
#include <optional>

#include "base/json.h"
#include "base/threads.h"
#include "bench/made_up.h"
#include "io/file.h"
#include "kernels/act_quant.h"
#include "kernels/attention.h"
#include "kernels/peak.h"
#include "models/synth_parts.h"
#include "models/umt5.h"
#include "models/wan_checkpoint.h"
#include "models/wan_cost.h"
#include "models/wan_dit.h"
#include "models/wan_vae.h"

namespace wanslim {
namespace {

struct Options {
  int repeat = 5, threads = 0;
  std::string only, model, json, torch;
};

// With --cpu 1: of all threads, by their number.
bool g_cpu_time = false;

double now() {
  timespec time{};
  clock_gettime(g_cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double seconds_of(const std::function<void()>& body) {
  const double begin = now();
  body();
  return (now() - begin) / (g_cpu_time ? threads() : 1);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class Table {
 public:
  explicit Table(const Options& options) : options_(options) {
    if (!options.torch.empty()) {
      torch_ = parse_json(read_text(options.torch, 1 << 20), options.torch);
    }
    fmt::print("{:<44} {:>10} {:>8} {:>9} {:>10} {:>7}\n", "", "ms", "GOP/s", "of peak", "PyTorch ms",
               "faster");
  }

  bool wanted(const std::string& name) const { return name.find(options_.only) != std::string::npos; }

  // `operations` against the innermost f32 loop, the machine's ceiling; the body is run once to warm up.
  void add(const std::string& name, double operations, const std::function<void()>& body) {
    if (!wanted(name)) return;
    std::vector<double> seconds, shares;
    body();
    for (int i = 0; i < options_.repeat; ++i) {
      const double peak = micro_kernel_rate(GemmType::kF32, 0.3);
      seconds.push_back(seconds_of(body));
      shares.push_back(operations / seconds.back() / peak);
    }
    print(name, median(seconds), operations, median(shares));
  }

  void add_rate(const std::string& name, double rate, const char* unit) {
    fmt::print("{:<44} {:>10} {:8.1f} {}\n", name, "", rate / 1e9, unit);
    json_.push_back({{"name", name}, {"rate", rate}});
  }

  void print(const std::string& name, double seconds, double operations, double share) {
    const bool rival = torch_.is_object() && torch_.contains(name) && torch_.at(name).is_number();
    const double other = rival ? torch_.at(name).get<double>() : 0;
    fmt::print("{:<44} {:10.2f} {:>8} {:>9} {:>10} {:>7}\n", name, seconds * 1e3,
               operations > 0 ? fmt::format("{:.1f}", operations / seconds / 1e9) : "",
               share > 0 ? fmt::format("{:.0f} %", share * 100) : "",
               rival ? fmt::format("{:.2f}", other * 1e3) : "",
               rival ? fmt::format("{:.2f} x", other / seconds) : "");
    std::fflush(stdout);
    json_.push_back({{"name", name}, {"seconds", seconds}, {"operations", operations}, {"share", share}});
  }

  void save() const {
    if (!options_.json.empty()) std::ofstream(options_.json) << json_.dump(2) << "\n";
  }

 private:
  const Options& options_;
  Json torch_, json_ = Json::array();
};

void ceilings(Table& table) {
  table.add_rate("float, between registers", register_rate_f32(), "GOP/s");
  table.add_rate("float, innermost loop (the peak below)", micro_kernel_rate(GemmType::kF32), "GOP/s");
  table.add_rate("bf16, innermost loop", micro_kernel_rate(GemmType::kBF16), "GOP/s");
  table.add_rate("int8, innermost loop", micro_kernel_rate(GemmType::kS8), "GOP/s");
  table.add_rate("memory, copy", memory_rate(), "GB/s");
}

void products(Table& table) {
  constexpr int64_t kRows = 1280;
  for (const auto& [name, n, k] : {std::tuple{"1536 -> 1536", int64_t{1536}, int64_t{1536}},
                                   std::tuple{"1536 -> 8960", int64_t{8960}, int64_t{1536}},
                                   std::tuple{"8960 -> 1536", int64_t{1536}, int64_t{8960}}}) {
    const double operations = 2.0 * kRows * static_cast<double>(n * k);
    const std::string suffix = fmt::format(", 1280 x {}", name);
    std::vector<float> out(static_cast<size_t>(kRows * n)),
        ones(static_cast<size_t>(std::max(kRows, n)), 1.0f);
    const std::vector<float> a(static_cast<size_t>(kRows * k), 0.5f), w(static_cast<size_t>(n * k), 0.25f);
    const std::vector<uint16_t> narrow_a(a.size(), 0x3f00), narrow_w(w.size(), 0x3e80);
    std::vector<uint16_t> narrow_out(out.size());
    const std::vector<int8_t> codes_a(a.size(), 3), codes_w(w.size(), 5);
    const PackedWeight f32 = pack_f32(w, n, k), bf16 = pack_bf16(narrow_w, n, k), s8 = pack_s8(codes_w, n, k);
    table.add("product, float" + suffix, operations,
              [&] { gemm_f32(a.data(), kRows, f32, {.f32 = out.data()}); });
    table.add("product, bf16" + suffix, operations,
              [&] { gemm_bf16(narrow_a.data(), kRows, bf16, {.round = true, .bf16 = narrow_out.data()}); });
    table.add("product, int8" + suffix, operations, [&] {
      gemm_s8(
          codes_a.data(), kRows, s8,
          {.row_scale = ones.data(), .column_scale = ones.data(), .round = true, .bf16 = narrow_out.data()});
    });
  }
}

// The first `queries` of a sequence of `tokens`: the time of all is a multiple.
void attentions(Table& table) {
  constexpr int64_t kHeads = 12, kWidth = 1536;
  for (const auto& [tokens, queries] : {std::pair{int64_t{1280}, int64_t{1280}}, {32760, 960}}) {
    const std::string suffix = fmt::format(", {} queries of {} keys", queries, tokens);
    if (!table.wanted("attention" + suffix) && !table.wanted("attention, bf16" + suffix) &&
        !table.wanted("attention, float" + suffix)) {
      continue;
    }
    const size_t size = static_cast<size_t>(tokens * kWidth);
    std::vector<float> q(size), k(size), v(size), out(static_cast<size_t>(queries * kWidth));
    const TensorSpec spec{.name = "q", .shape = {tokens, kWidth}, .layer = "q", .unit = ""};
    SynthTensor(1, spec).fill(0, q), SynthTensor(2, spec).fill(0, k), SynthTensor(3, spec).fill(0, v);
    for (float& x : q) x *= 30;
    for (float& x : k) x *= 30;
    const auto narrow = [](const std::vector<float>& from) {
      std::vector<uint16_t> to(from.size());
      for (size_t i = 0; i < from.size(); ++i) to[i] = float_to_bf16(from[i]);
      return to;
    };
    const std::vector<uint16_t> q16 = narrow(q), k16 = narrow(k), v16 = narrow(v);
    std::vector<uint16_t> out16(out.size());
    const double operations = 4.0 * static_cast<double>(tokens * queries * kWidth);
    const float scale = 1 / std::sqrt(128.0f);
    const PackedKeys f32 = pack_keys_f32(k, v, tokens, kHeads, 128);
    const PackedKeys bf16 = pack_keys_bf16(k16, v16, tokens, kHeads, 128);
    table.add("attention, float" + suffix, operations,
              [&] { attention_f32(q.data(), queries, f32, scale, out.data()); });
    table.add("attention, bf16" + suffix, operations,
              [&] { attention_bf16(q16.data(), queries, bf16, scale, out16.data()); });
  }
}

Tensor numbers(Shape shape) {
  Tensor out(DType::kF32, std::move(shape));
  const TensorSpec spec{
      .name = "in", .shape = out.shape(), .layer = "in", .role = TensorRole::kModulation, .unit = ""};
  SynthTensor(4, spec).fill(0, out.as<float>());
  for (float& x : out.as<float>()) x *= 16;
  return out;
}

// Two of the 30 blocks of the 1.3B transformer at 1280 tokens.
void transformer(Table& table) {
  WanGeometry g = wan_variant("t2v-1.3B").geometry;
  g.layers = 2;
  const Tensor latent = numbers({16, 5, 32, 32}), text = numbers({64, g.text_dim});
  const double operations = forward_cost(g, 1280, 65).total();
  const auto all = [](const TensorSpec& spec) { return spec.in_block() && spec.is_linear_weight(); };
  const auto practice = [all](const TensorSpec& spec) {
    return all(spec) && spec.name.find("ffn.2") == std::string::npos;
  };
  struct Case {
    const char* name;
    Compute compute;
    MadeUp::Chosen int8;
  };
  for (const Case& c : {Case{"float", Compute::kF32, {}}, Case{"bf16", Compute::kBF16, {}},
                        Case{"W8A8, ffn.2 bf16", Compute::kBF16, practice},
                        Case{"W8A8, every Linear", Compute::kBF16, all}}) {
    const std::string name = fmt::format("transformer, {}, 2 blocks of 1.3B", c.name);
    if (!table.wanted(name)) continue;
    const DType dtype = c.compute == Compute::kF32 ? DType::kF32 : DType::kBF16;
    WanDit dit(std::make_shared<MadeUp>(tensor_specs(g), dtype, c.int8), g, {.compute = c.compute});
    WanPrompt prompt = dit.embed_prompt(text, nullptr);
    table.add(name, operations, [&] { dit.forward({.latent = &latent, .timestep = 500}, prompt); });
  }
}

void encoders(Table& table) {
  const std::vector<SynthPart> parts = synth_parts(wan_variant("t2v-1.3B").geometry);
  if (const std::string name = "VAE, decoding 5 frames of 256 x 256"; table.wanted(name)) {
    VaeDecoder decoder(MadeUp(parts[1].tensors, DType::kF32));
    const Tensor latent = numbers({16, 2, 32, 32});
    table.add(name, vae_decode_cost(96, 5, 256 * 256), [&] { decoder.decode(latent); });
  }
  // The official pipeline pads every prompt to 512 tokens and computes them all; here a prompt costs what it
  // has.
  for (const int32_t tokens : {512, 128}) {
    const std::string name = fmt::format("umT5-xxl, 2 of 24 blocks, {} tokens", tokens);
    if (!table.wanted(name)) continue;
    std::vector<TensorSpec> tensors;
    double weights = 0;
    for (const TensorSpec& spec : parts[0].tensors) {
      if (spec.block >= 2) continue;
      tensors.push_back(spec);
      if (spec.is_linear_weight()) weights += static_cast<double>(element_count(spec.shape));
    }
    const MadeUp source(tensors);
    const Umt5Encoder encoder(source, {.compute = Compute::kBF16, .keep_weights = true});
    std::vector<std::vector<int32_t>> prompts(1);
    for (int32_t i = 0; i < tokens; ++i) prompts[0].push_back(i * 7 + 300);
    table.add(name, 2 * tokens * weights + 2 * 4.0 * tokens * tokens * 4096,
              [&] { encoder.encode(prompts); });
  }
}

// Every block read and packed for bf16, against plain reading of the file. Both into memory of their own, as
// a program that starts must.
void loading(Table& table, const Options& options) {
  if (options.model.empty()) return;
  const auto model = std::make_shared<WanCheckpoint>(open_wan(options.model));
  std::vector<double> reads, loads, ratios;
  for (int i = 0; i < options.repeat; ++i) {
    reads.push_back(seconds_of([&] {
      std::vector<Buffer> kept;
      for (const Checkpoint::OpenFile& open : model->file().files()) {
        Buffer& bytes = kept.emplace_back(open.stamp.size);
        open.file.read_at(0, {bytes.data(), bytes.size()});
      }
    }));
    loads.push_back(seconds_of([&] {
      std::vector<WanBlock> kept;
      for (int64_t block = 0; block < model->geometry().layers; ++block) {
        kept.push_back(
            WanBlock::load(*model, fmt::format("blocks.{}", block), model->geometry(), Compute::kBF16));
      }
    }));
    ratios.push_back(loads.back() / reads.back());
  }
  table.print("reading the file", median(reads), 0, 0);
  table.print("loading: reading and packing", median(loads), 0, 0);
  fmt::print("loading takes {:.2f} x the time of reading\n", median(ratios));
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const char* const value = argv[i + 1];
    if (name == "--repeat") o.repeat = std::max(1, std::atoi(value));
    if (name == "--threads") o.threads = std::atoi(value);
    if (name == "--only") o.only = value;
    if (name == "--model") o.model = value;
    if (name == "--json") o.json = value;
    if (name == "--torch") o.torch = value;
    if (name == "--cpu") g_cpu_time = std::atoi(value) != 0;
  }
  return o;
}

}  // namespace
}  // namespace wanslim

int main(int argc, char** argv) {
  using namespace wanslim;
  const Options options = parse(argc, argv);
  set_threads(options.threads);
  try {
    fmt::print("{} threads, medians of {} rounds\n", threads(), options.repeat);
    Table table(options);
    ceilings(table);
    products(table);
    attentions(table);
    transformer(table);
    encoders(table);
    loading(table, options);
    table.save();
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
