// SPDX-License-Identifier: Apache-2.0
// Any description beside a weight file is looked at and read, or refused with an Error.
#include <unistd.h>

#include "base/error.h"
#include "formats/mindie_verify.h"

namespace {

using namespace wanslim;

// One quantized Linear of 2 x 4 and the bias of another, in a folder of this process.
Path make_folder() {
  const Path folder = "/dev/shm/wanslim_mindie_fuzz_" + std::to_string(::getpid());
  std::filesystem::create_directories(folder);
  const SafetensorsLayout layout =
      layout_safetensors({{.name = "blocks.0.ffn.0.weight", .dtype = DType::kI8, .shape = {2, 4}},
                          {.name = "blocks.0.ffn.0.weight_scale", .dtype = DType::kF32, .shape = {2, 1}},
                          {.name = "blocks.0.ffn.0.bias", .dtype = DType::kF32, .shape = {2}},
                          {.name = "blocks.0.ffn.2.bias", .dtype = DType::kF32, .shape = {4}}});
  File file = File::create(folder / "quant_model_weight_w8a8_dynamic.safetensors");
  file.truncate(layout.file_bytes);
  file.write_at(0, std::as_bytes(std::span(layout.head)));
  return folder;
}

struct Folder {
  Path path = make_folder();
  ~Folder() { std::filesystem::remove_all(path); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  File::create(folder.path / "quant_model_description_w8a8_dynamic.json")
      .write_at(0, std::as_bytes(std::span(data, size)));
  try {
    CHECK(recognizes_mindie(folder.path));
    verify_mindie(folder.path);
    const auto source = read_mindie(folder.path);
    for (const char* layer : {"blocks.0.ffn.0", "blocks.0.ffn.2"}) source->load_quantized(layer);
  } catch (const Error&) {
  }
  return 0;
}
