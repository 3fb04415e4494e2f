// SPDX-License-Identifier: Apache-2.0
// A window into a forward: "show me what this layer gets". Passed down as a pointer, null for nobody looking.
#pragma once
#include <string_view>

#include "nn/rows.h"

namespace wanslim {

class Tap {
 public:
  virtual ~Tap() = default;
  // The rows that a Linear is about to multiply; `layer` is its official path ("blocks.3.ffn.0").
  virtual void input(std::string_view /*layer*/, const Rows& /*rows*/) {}
  // True if value() wants to be called: steps that are fused otherwise are then taken apart, with the same
  // results.
  virtual bool wants_values() const { return false; }
  // What a Linear gave, under its path; and what a model computes between Linears, under the names of its
  // header.
  virtual void value(std::string_view /*name*/, const Rows& /*rows*/) {}
};

inline bool wants_values(const Tap* tap) {
  return tap != nullptr && tap->wants_values();
}

}  // namespace wanslim
