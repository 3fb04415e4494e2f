// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"

int main(int argc, char** argv) {
  // The table. A new command: its file, a line in commands.h and a row here.
  return wanslim::run_commands(
      argc, argv,
      {
          {"quant", "quantize a Wan2.1 transformer", wanslim::setup_quant},
          {"convert", "write quantized weights for another runtime, or back to float",
           wanslim::setup_convert},
          {"verify", "check a quantized folder as its runtime reads it", wanslim::setup_verify},
          {"inspect", "tell what is in a checkpoint or a quantized folder", wanslim::setup_inspect},
          {"practices", "list the built-in recipes, or print one", wanslim::setup_practices},
          {"compare", "two videos, latents or runs: how far apart they are", wanslim::setup_compare},
          {"generate", "prompt to picture or video, float or quantized", wanslim::setup_generate},
          {"module", "run one part of the pipeline: tensors in, tensors out", wanslim::setup_module},
          {"synth", "make a checkpoint of true structure with made-up weights", wanslim::setup_synth},
      });
}
