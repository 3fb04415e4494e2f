// SPDX-License-Identifier: Apache-2.0
// Any file that ends in .pth either lists tensors that can all be loaded or is refused with an Error.
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "base/error.h"
#include "io/checkpoint.h"
#include "io/torch_zip.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string path = "/proc/self/fd/" + std::to_string(::memfd_create("fuzz", MFD_CLOEXEC));
  const int fd = std::stoi(path.substr(14));
  CHECK(::write(fd, data, size) == static_cast<ssize_t>(size));
  try {
    const auto file = wanslim::File::open_read(path);
    const bool known = wanslim::looks_like_torch(file);
    for (const auto& entry : wanslim::read_torch_zip(file)) CHECK(known && entry.offset <= size);
    if (known) {
      const auto checkpoint = wanslim::Checkpoint::open(path);
      for (const auto& tensor : checkpoint.tensors()) checkpoint.load(tensor);
    }
  } catch (const wanslim::Error&) {
  }
  ::close(fd);
  return 0;
}
