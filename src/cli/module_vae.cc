// SPDX-License-Identifier: Apache-2.0
// `module vae-encode` and `module vae-decode`. Float as official unless bf16 is asked for.
#include "cli/module.h"
#include "models/vae_checkpoint.h"
#include "models/wan_vae.h"

namespace wanslim {
namespace {

VaeOptions vae_options(const ModuleArgs& args) {
  return {.bf16 = args.compute == "bf16"};
}

Json vae_facts(const VaeOptions& options, size_t weight_bytes, size_t frame_bytes) {
  return {{"compute", options.bf16 ? "bf16" : "f32"},
          {"weight_bytes", weight_bytes},
          {"frame_bytes", frame_bytes}};
}

Tensor float_input(const ModuleArgs& args, const std::string& name) {
  const TensorMap tensors = read_tensors(args.in);
  return floats_of(need_input(tensors, name, args.in), args.in + ": \"" + name + "\"");
}

}  // namespace

ModuleResult run_vae_encode_module(const ModuleArgs& args, Progress&) {
  const Tensor video = float_input(args, "in.video");
  const VaeOptions options = vae_options(args);
  VaeEncoder encoder(open_vae(args.model), options);
  ModuleResult result;
  TensorMap named;
  time_forwards(args, result, [&] { named["latent"] = encoder.encode(video); });
  write_tensors(args.out, named);
  result.facts = vae_facts(options, encoder.weight_bytes(), encoder.peak_frame_bytes());
  return result;
}

ModuleResult run_vae_decode_module(const ModuleArgs& args, Progress&) {
  const Tensor latent = float_input(args, "in.latent");
  const VaeOptions options = vae_options(args);
  VaeDecoder decoder(open_vae(args.model), options);
  ModuleResult result;
  TensorMap named;
  time_forwards(args, result, [&] { named["video_unclamped"] = decoder.decode(latent); });
  write_tensors(args.out, named);
  result.facts = vae_facts(options, decoder.weight_bytes(), decoder.peak_frame_bytes());
  return result;
}

}  // namespace wanslim
