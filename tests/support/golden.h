// SPDX-License-Identifier: Apache-2.0
// For tests: reference tensors under tests/data. Knows just enough of safetensors to read trusted files, so
// that tests of every layer can use it and that it does not share code with the reader under test.
#pragma once
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "tensor/tensor.h"

namespace wanslim::testing {

inline std::string read_golden_text(const std::string& path) {
  std::ifstream in(std::string(WANSLIM_TESTDATA) + "/" + path, std::ios::binary);
  CHECK(in.good());
  return {std::istreambuf_iterator<char>(in), {}};
}

inline Json read_golden_json(const std::string& path) {
  return parse_json(read_golden_text(path), path);
}

// All tensors of tests/data/<path>, by name.
inline std::map<std::string, Tensor> read_golden(const std::string& path) {
  const std::string text = read_golden_text(path);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, text.data(), 8);
  const Json header = parse_json(std::string_view(text).substr(8, header_bytes), path);
  std::map<std::string, Tensor> out;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    Tensor t(*dtype_from_name(entry["dtype"].get<std::string>()), entry["shape"].get<Shape>());
    const size_t begin = entry["data_offsets"][0].get<size_t>();
    CHECK(entry["data_offsets"][1].get<size_t>() - begin == t.bytes());
    std::memcpy(t.raw().data(), text.data() + 8 + header_bytes + begin, t.bytes());
    out.emplace(name, std::move(t));
  }
  return out;
}

// ||got - want|| / ||want||, in double; infinite if a value is not finite or the sizes differ.
template <class A, class B>
double rel_l2(std::span<const A> got, std::span<const B> want) {
  if (got.size() != want.size()) return INFINITY;
  double difference = 0, norm = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double a = got[i], b = want[i];
    difference += (a - b) * (a - b);
    norm += b * b;
  }
  const double r = std::sqrt(difference / norm);
  return std::isfinite(r) ? r : INFINITY;
}

}  // namespace wanslim::testing
