// SPDX-License-Identifier: Apache-2.0
// XXH3-128 checksums, written as 32 hex digits (canonical big-endian form, equal on every machine).
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace wanslim {

std::string hash_hex(std::span<const std::byte> bytes);
std::string hash_hex(std::string_view text);

// Streaming: update* digest. One thread at a time.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  void update(std::span<const std::byte> bytes);
  std::string digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace wanslim
