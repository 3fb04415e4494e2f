// SPDX-License-Identifier: Apache-2.0
#include "models/wan_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "base/error.h"
#include "base/json.h"

namespace wanslim {
namespace {

constexpr int64_t kMaxValue = 1 << 24;

enum class Given : uint8_t {
  kByTensors,  // the tensors show it: must agree
  kByConfig,   // shapes cannot tell: taken from here
};
enum class Part : uint8_t { kBase, kImage, kImagePosition, kVace };

// An integer key and the field that it stands for; `times` as in the file.
struct KeyRow {
  std::string_view key;
  int64_t WanGeometry::*field;
  Given given = Given::kByTensors;
  Part part = Part::kBase;
  int64_t times = 1;
};
constexpr KeyRow kKeys[] = {
    {"dim", &WanGeometry::dim},
    {"ffn_dim", &WanGeometry::ffn_dim},
    {"num_layers", &WanGeometry::layers},
    {"in_dim", &WanGeometry::in_dim},
    {"in_channels", &WanGeometry::in_dim},
    {"out_dim", &WanGeometry::out_dim},
    {"out_channels", &WanGeometry::out_dim},
    {"freq_dim", &WanGeometry::freq_dim},
    {"text_dim", &WanGeometry::text_dim},
    {"text_len", &WanGeometry::text_len, Given::kByConfig},
    {"num_heads", &WanGeometry::heads, Given::kByConfig},
    {"num_attention_heads", &WanGeometry::heads, Given::kByConfig},
    {"image_dim", &WanGeometry::image_dim, Given::kByTensors, Part::kImage},
    {"added_kv_proj_dim", &WanGeometry::dim, Given::kByTensors, Part::kImage},
    {"pos_embed_seq_len", &WanGeometry::image_tokens, Given::kByTensors, Part::kImagePosition, 2},
    {"vace_in_dim", &WanGeometry::vace_in_dim, Given::kByTensors, Part::kVace},
    {"vace_in_channels", &WanGeometry::vace_in_dim, Given::kByTensors, Part::kVace},
};

bool has(Part part, const WanGeometry& g) {
  switch (part) {
    case Part::kBase:
      return true;
    case Part::kImage:
      return g.has_image_condition;
    case Part::kImagePosition:
      return g.has_image_position;
    case Part::kVace:
      return !g.vace_layers.empty();
  }
  return false;
}

// Keys with values that every Wan2.1 transformer has; another value is another architecture.
struct FixedRow {
  const char* key;
  std::vector<const char*> values;  // as JSON
};
const FixedRow kFixed[] = {
    {"patch_size", {"[1,2,2]"}},
    {"window_size", {"[-1,-1]"}},
    {"qk_norm", {"true", "\"rms_norm_across_heads\""}},
    {"cross_attn_norm", {"true"}},
    {"_class_name",
     {"\"WanModel\"", "\"VaceWanModel\"", "\"WanTransformer3DModel\"", "\"WanVACETransformer3DModel\""}},
};

class Reader {
 public:
  Reader(const Json& root, std::string_view where, WanGeometry& g) : root_(root), where_(where), g_(g) {}

  void run() {
    for (const FixedRow& row : kFixed) fixed(row);
    for (const KeyRow& row : kKeys) {
      if (const Json* value = get(row.key)) integer(row, positive(row.key, *value));
    }
    head_size();
    eps();
    vace_layers();
    model_type_key();
    if (!contradictions_.empty()) {
      fail(fmt::format("the file contradicts the tensors: {}", fmt::join(contradictions_, "; ")),
           "the checkpoint is incomplete, or this file belongs to another one");
    }
  }

 private:
  [[noreturn]] void fail(std::string what, std::string hint = {}) const {
    throw Error({.what = std::move(what), .where = std::string(where_), .hint = std::move(hint)});
  }
  [[noreturn]] void bad_value(std::string_view key, const Json& got, std::string_view expected) const {
    fail(fmt::format("\"{}\" is {}, expected {}", key, shown(got), expected));
  }
  static std::string shown(const Json& value) {
    const std::string text = value.dump(-1, Json::Text::kAscii);
    return text.size() <= 60 ? text : text.substr(0, 57) + "...";
  }

  // The value of a key; null counts as absent, as diffusers writes it.
  const Json* get(std::string_view key) const {
    auto it = root_.find(std::string(key));
    return it == root_.end() || it->is_null() ? nullptr : &*it;
  }

  int64_t positive(std::string_view key, const Json& value) const {
    if (!value.is_number_unsigned() || value.get<uint64_t>() < 1 || value.get<uint64_t>() > kMaxValue)
      bad_value(key, value, fmt::format("an integer from 1 to {}", kMaxValue));
    return value.get<int64_t>();
  }

  void fixed(const FixedRow& row) const {
    const Json* value = get(row.key);
    if (!value) return;
    const std::string text = shown(*value);
    for (const char* allowed : row.values) {
      if (text == allowed) return;
    }
    fail(fmt::format("\"{}\" is {}, Wan2.1 transformers have {}", row.key, text,
                     fmt::join(row.values, " or ")),
         "give the folder of a Wan2.1 transformer");
  }

  void contradict(std::string_view key, const std::string& here, const std::string& there) {
    contradictions_.push_back(fmt::format("\"{}\" is {}, the tensors have {}", key, here, there));
  }

  void integer(const KeyRow& row, int64_t value) {
    if (row.given == Given::kByConfig) {
      g_.*row.field = value;
    } else if (!has(row.part, g_)) {
      // Sizes of VACE inputs are written by some tools for every model; image sizes mean an image condition.
      if (row.part != Part::kVace) contradict(row.key, std::to_string(value), "no such part");
    } else if (value != g_.*row.field * row.times) {
      contradict(row.key, std::to_string(value), std::to_string(g_.*row.field * row.times));
    }
  }

  // diffusers gives the width as heads and head size.
  void head_size() {
    const Json* value = get("attention_head_dim");
    if (!value) return;
    const int64_t size = positive("attention_head_dim", *value);
    if (!get("num_attention_heads")) fail("\"attention_head_dim\" stands without \"num_attention_heads\"");
    if (size * g_.heads != g_.dim) {
      contradictions_.push_back(
          fmt::format("\"num_attention_heads\" x \"attention_head_dim\" is {} x {}, the tensors have a width "
                      "of {}",
                      g_.heads, size, g_.dim));
    }
  }

  void eps() {
    const Json* value = get("eps");
    if (!value) return;
    const double eps = value->is_number() ? value->get<double>() : 0;
    if (!(eps > 0 && eps < 1)) bad_value("eps", *value, "a number between 0 and 1");
    g_.eps = eps;
  }

  void vace_layers() {
    const Json* value = get("vace_layers");
    if (!value) return;
    std::vector<int64_t> layers;
    const bool is_list = value->is_array() && value->size() <= static_cast<size_t>(kMaxValue);
    for (const Json& item : is_list ? *value : Json::array()) {
      const bool fits = item.is_number_unsigned() && item.get<uint64_t>() < uint64_t{kMaxValue} &&
                        (layers.empty() || item.get<int64_t>() > layers.back());
      if (!fits) bad_value("vace_layers", *value, "rising block numbers");
      layers.push_back(item.get<int64_t>());
    }
    if (!is_list) bad_value("vace_layers", *value, "a list of block numbers");
    if (layers.size() != g_.vace_layers.size()) {
      contradict("vace_layers", fmt::format("a list of {}", layers.size()),
                 fmt::format("{} VACE blocks", g_.vace_layers.size()));
    } else if (!layers.empty() && layers.back() >= g_.layers) {
      contradict("vace_layers", shown(*value), fmt::format("{} blocks", g_.layers));
    } else {
      g_.vace_layers = std::move(layers);
    }
  }

  void model_type_key() {
    const Json* value = get("model_type");
    if (!value) return;
    if (!value->is_string()) bad_value("model_type", *value, "a string");
    if (value->get<std::string>() != model_type(g_))
      contradict("model_type", shown(*value), fmt::format("the parts of \"{}\"", model_type(g_)));
  }

  const Json& root_;
  std::string_view where_;
  WanGeometry& g_;
  std::vector<std::string> contradictions_;
};

}  // namespace

void apply_config(std::string_view json, std::string_view where, WanGeometry& geometry) {
  const Json root = parse_json(json, where);
  if (!root.is_object()) {
    throw Error({.what = fmt::format("expected a JSON object, got {}", root.type_name()),
                 .where = std::string(where)});
  }
  Reader(root, where, geometry).run();
}

}  // namespace wanslim
