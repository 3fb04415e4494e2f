// SPDX-License-Identifier: Apache-2.0
// The words of the recipe protocol as tables: one row per dtype, scope, method, method option, processor,
// processor field, saver and inference key. The parser (recipe_yaml) and the writer work from these rows; a
// new word is a new row here. Source: spec msmodelslim 2.1 to 2.5 and 3.1.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/quantized.h"

namespace wanslim::protocol {

struct ApiVersionRow {
  std::string_view name;
  std::string_view refused;  // why no recipe of this version is read here; empty: it is
};

struct DtypeRow {
  std::string_view name;
  Encoding encoding;
};

struct ScopeRow {
  std::string_view name;
  Granularity granularity;
};

// What a value must be.
enum class ValueType : uint8_t {
  kBool,
  kInt,       // low <= x <= high
  kReal,      // low <= x <= high
  kOpenReal,  // low < x <= high
  kUnit,      // 0 < x < 1, or null
  kPower2,    // -1 or a power of two (low = -1), a power of two (low = 1); at most high
  kPower4,    // a power of four, low <= x <= high
  kWord,      // one of words (separated by spaces)
  kWords,     // a list of those
  kString,
  kStrings,
  kIndices,  // a list of integers >= 0
  kFixed,    // only `words`, the value as YAML: the reference refuses any other
};

// An option in `ext` of a qconfig: which methods read it.
struct OptionRow {
  std::string_view name;
  std::string_view methods;  // separated by spaces
  ValueType type;
  double low = 0, high = 0;
  std::string_view words = {};
};

struct MethodRow {
  std::string_view name;
  bool for_activation, for_weight;
};

enum class QConfigShape : uint8_t {
  kNone,
  kPair,        // qconfig: {act, weight}, required
  kSide,        // qconfig: one side, required
  kWeight,      // weight_qconfig: one side, required
  kAttention,   // qconfig: one side, or details: {fa_q, fa_k, fa_v}; neither: the default
  kStrategies,  // strategies: [{qconfig: {act, weight}, include, exclude}]
  kGroup,       // configs: processors
};

enum class PatternShape : uint8_t {
  kNone,
  kAll,       // include defaults to ["*"]
  kOptional,  // include and exclude may be null, which means all
  kEmpty,     // include defaults to []
};

struct ProcessorRow {
  std::string_view name;
  PatternShape patterns;
  QConfigShape qconfig;
};

// A field of a processor beside include, exclude and its qconfig.
struct FieldRow {
  std::string_view processor, name;
  ValueType type;
  double low = 0, high = 0;
  std::string_view words = {};
  int stage = 0;  // adapt_rotation: of this stage only
};

struct SaverRow {
  std::string_view name;
  std::string_view format;  // as --format names it
};

// A key of inference_config. task and size are held against wan_tasks.h as well.
struct InferenceRow {
  std::string_view name;
  ValueType type;
  double low = 0, high = 0;
  std::string_view words = {};
};

std::span<const ApiVersionRow> api_versions();
std::span<const DtypeRow> dtypes();
std::span<const ScopeRow> scopes();
std::span<const MethodRow> methods();
std::span<const OptionRow> options();
std::span<const ProcessorRow> processors();
std::span<const FieldRow> fields();
std::span<const SaverRow> savers();
std::span<const InferenceRow> inference_keys();

// "a b c" -> {"a", "b", "c"}.
std::vector<std::string> split_words(std::string_view text);

// The `name` column of a table.
template <class Row>
std::vector<std::string> names(std::span<const Row> rows) {
  std::vector<std::string> out;
  for (const Row& row : rows) out.emplace_back(row.name);
  return out;
}

// The row with this name, or null.
template <class Row>
const Row* find_row(std::span<const Row> rows, std::string_view name) {
  for (const Row& row : rows) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

}  // namespace wanslim::protocol
