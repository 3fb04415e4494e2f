// SPDX-License-Identifier: Apache-2.0
// A checkpoint on disk, whatever its container: one safetensors file, shards with an index, a folder of them,
// one torch.save file (.pth) or one GGUF file. Opening reads and checks the headers only; tensor bytes are
// read on demand.
//
//   Checkpoint c = Checkpoint::open(path);  const StoredTensor* t = c.find("blocks.0.ffn.0.weight");
//   c.load(*t);
//
// Names are those of the file; models/names.h maps them to official ones. Reading is safe from several
// threads.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/file.h"
#include "tensor/tensor.h"

namespace wanslim {

struct StoredTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  size_t file = 0;                 // index into Checkpoint::files()
  uint64_t offset = 0, bytes = 0;  // bytes: when contiguous, as read() gives them
  // In elements; empty: contiguous in the file, as all but a few tensors of .pth files are.
  std::vector<int64_t> strides = {};
  // "Q4_K": blocks of GGUF; dtype is U8 and the last extent counts bytes. Empty: plain numbers.
  std::string_view block_type = {};
};

class Checkpoint {
 public:
  // A .safetensors file, a .safetensors.index.json, a torch.save file, a .gguf file, or a folder that holds
  // one of the first two or one .gguf (or a `transformer/` folder that does); of several files
  // diffusion_pytorch_model.safetensors.
  // Error names the file and what is wrong with it.
  static Checkpoint open(const Path& path);

  const std::vector<StoredTensor>& tensors() const { return tensors_; }  // sorted by name
  const StoredTensor* find(std::string_view name) const;                 // null if absent
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  Tensor load(const StoredTensor& tensor) const;
  // Rows first .. first + count of a tensor of any rank above 0.
  Tensor load_rows(const StoredTensor& tensor, int64_t first, int64_t count) const;
  // Bytes of the contiguous tensor from `offset`. Of a strided tensor every call reads the whole range that
  // it touches, and `offset` must be that of an element.
  void read(const StoredTensor& tensor, uint64_t offset, std::span<std::byte> bytes) const;
  void prefetch(const StoredTensor& tensor) const;

  struct OpenFile {
    File file;
    FileStamp stamp;  // when it was opened
  };
  const std::vector<OpenFile>& files() const { return files_; }
  const Path& folder() const { return folder_; }  // where config.json is looked for
  // "file.safetensors: \"name\"" for error messages.
  std::string describe(const StoredTensor& tensor) const;
  // Error if a file was written to or replaced since it was opened.
  void check_unchanged() const;

 private:
  void add_file(const Path& path);
  void add_safetensors(OpenFile opened);
  void add_torch(OpenFile opened);
  void add_gguf(OpenFile opened);
  void open_index(const Path& index);
  void open_folder(const Path& folder);
  void finish();

  std::vector<OpenFile> files_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::string> metadata_;
  Path folder_;
};

// tensor -> file name from the text of an index, checked to be plain names of safetensors files.
std::map<std::string, std::string> parse_checkpoint_index(std::string_view text, std::string_view where);

}  // namespace wanslim
