// SPDX-License-Identifier: Apache-2.0
#include "nn/attention.h"

#include <cmath>

#include "base/profile.h"

namespace wanslim {

PackedKeys make_keys(const Rows& k, const Rows& v, int64_t heads, int64_t last_count) {
  const Timed timed("attention, packing of keys");
  CHECK(k.dtype == v.dtype && k.count == v.count && k.width == v.width && k.width % heads == 0);
  const size_t size = static_cast<size_t>(k.count * k.width);
  const int64_t head_dim = k.width / heads;
  PackedKeys keys = k.dtype == DType::kF32
                        ? pack_keys_f32({k.f32(), size}, {v.f32(), size}, k.count, heads, head_dim)
                        : pack_keys_bf16({k.bf16(), size}, {v.bf16(), size}, k.count, heads, head_dim);
  keys.last_count = last_count;
  return keys;
}

void attend(RowBuffer& q, const PackedKeys& keys) {
  const Timed timed("attention",
                    4.0 * static_cast<double>(q.count() * keys.keys) * static_cast<double>(q.width()));
  CHECK(q.width() == keys.heads * keys.head_dim);
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(keys.head_dim)));
  if (q.dtype() == DType::kF32) {
    attention_f32(q.f32(), q.count(), keys, scale, q.f32());
  } else {
    attention_bf16(q.bf16(), q.count(), keys, scale, q.bf16());
  }
}

}  // namespace wanslim
