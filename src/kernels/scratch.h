// SPDX-License-Identifier: Apache-2.0
// Memory for the inside of one task: belongs to the thread, grows to the largest demand and is kept.
#pragma once
#include <cstddef>

namespace wanslim {

// At least `bytes` bytes, 64-byte aligned, with undefined content; valid until this thread's next call.
std::byte* thread_scratch(size_t bytes);

}  // namespace wanslim
