// SPDX-License-Identifier: Apache-2.0
#include "models/vae_strips.h"

#include <algorithm>

#include "base/error.h"
#include "config/wan_tasks.h"

namespace wanslim {
namespace {

// At width 96: of the weights; bytes a pixel with more than one frame, of those what every strip shares, and
// with one frame; of a latent frame that waits between the stacks.
struct VaeBytes {
  double weights, video, shared, frame;
};
constexpr VaeBytes kDecoder{0.75e9, 11300, 700, 1900}, kEncoder{0.6e9, 8300, 450, 1900};
constexpr double kWaitingBytes = 24;

uint64_t memory_of(const VaeBytes& bytes, const VaeLoad& load, int64_t strips) {
  const double width = static_cast<double>(load.dim) / 96;
  double per_pixel = load.frames > 1 ? bytes.video : bytes.frame;
  if (strips > 1) {
    const int64_t length = std::max(load.height, load.width) / kSpaceStride,
                  latent_frames = (load.frames + 3) / 4;
    int64_t longest = 0;
    for (const VaeStrip& strip : vae_strips(length, strips, kVaeHalo))
      longest = std::max(longest, strip.last - strip.first);
    const double share = static_cast<double>(longest) / static_cast<double>(length);
    per_pixel = bytes.shared + (per_pixel - bytes.shared) * share +
                kWaitingBytes * static_cast<double>(latent_frames);
  }
  const double pixels = static_cast<double>(load.height * load.width);
  return static_cast<uint64_t>(bytes.weights * width * width + per_pixel * width * pixels);
}

// Outputs depend on `need` inputs more on each side.
int64_t inputs_for(const NormConv& body, int64_t need) {
  return need + body.conv.reach();
}
int64_t inputs_for(const ResidualBlock& body, int64_t need) {
  return inputs_for(body.first, inputs_for(body.second, need));
}
int64_t inputs_for(const Upsample& /*body*/, int64_t need) {
  return (need + 2) / 2;  // a 3x3 convolution of the doubled picture
}
int64_t inputs_for(const PixelAttention& /*body*/, int64_t /*need*/) {
  throw Error({.what = "attention among all pixels has no halo"});
}
int64_t inputs_for(const Downsample& /*body*/, int64_t need) {
  return 2 * need + 2;  // a 3x3 convolution of every second pixel, which reaches right and down
}

}  // namespace

std::vector<VaeStrip> vae_strips(int64_t length, int64_t count, int64_t halo) {
  CHECK(count >= 1 && count <= length);
  std::vector<VaeStrip> strips;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = length * i / count, end = length * (i + 1) / count;
    strips.push_back({.begin = begin,
                      .end = end,
                      .first = std::max<int64_t>(0, begin - halo),
                      .last = std::min(length, end + halo)});
  }
  return strips;
}

int64_t strip_halo(const VaeStack& stack) {
  int64_t need = 0;
  for (auto layer = stack.layers.rbegin(); layer != stack.layers.rend(); ++layer)
    need = std::visit([&](const auto& body) { return inputs_for(body, need); }, layer->body);
  return need;
}

uint64_t vae_decode_memory(const VaeLoad& load, int64_t strips) {
  return memory_of(kDecoder, load, strips);
}

uint64_t vae_encode_memory(const VaeLoad& load, int64_t strips) {
  return memory_of(kEncoder, load, strips);
}

int64_t most_strips(const VaeLoad& load) {
  return std::max<int64_t>(1, std::max(load.height, load.width) / kSpaceStride / 4);
}

}  // namespace wanslim
