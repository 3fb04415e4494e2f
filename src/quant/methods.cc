// SPDX-License-Identifier: Apache-2.0
#include "quant/methods.h"

#include <fmt/format.h>

#include <vector>

#include "base/spelling.h"
#include "quant/clip.h"
#include "quant/fp8.h"
#include "quant/ggml.h"
#include "quant/minmax_int.h"
#include "quant/mx.h"
#include "quant/nvfp4.h"
#include "quant/ssz.h"
#include "tensor/ggml_blocks.h"

namespace wanslim {
namespace {

bool refuse(std::string* why, std::string reason) {
  if (why) *why = std::move(reason);
  return false;
}

bool int_supports(const QuantScheme& s, std::string* why) {
  if (s.weight_granularity != Granularity::kChannel && s.weight_granularity != Granularity::kGroup) {
    return refuse(why, "integer weights have one scale per_channel or per_group");
  }
  if (s.weight_granularity == Granularity::kGroup && s.group != 32 && s.group != 64 && s.group != 128) {
    return refuse(why, fmt::format("group_size is {}; 32, 64 and 128 are possible", s.group));
  }
  return true;
}

bool per_block(const QuantScheme& s, std::string* why) {
  return s.weight_granularity == Granularity::kBlock || refuse(why, "the scope of this dtype is per_block");
}

bool minmax_supports(const QuantScheme& s, const MethodOptions&, Numerics numerics, std::string* why) {
  switch (s.weight) {
    case Encoding::kInt8:
    case Encoding::kInt4:
      return int_supports(s, why);
    case Encoding::kFp8E4M3:
      return s.weight_granularity == Granularity::kChannel || s.weight_granularity == Granularity::kTensor ||
             refuse(why, "FP8 weights have one scale per_channel or per_tensor");
    case Encoding::kMxFp8:
    case Encoding::kMxFp4:
      return per_block(s, why);
    case Encoding::kNvFp4:
      if (numerics == Numerics::kCompat) return refuse(why, "msModelSlim has no NVFP4 to be compatible with");
      return per_block(s, why);
    default:
      return refuse(why, "the dtypes of minmax are int8, int4, fp8_e4m3, mxfp8, mxfp4 and nvfp4");
  }
}

QuantizedLinear minmax_run(const LinearWeight& linear, const QuantScheme& scheme,
                           const MethodOptions& options, Numerics numerics) {
  switch (scheme.weight) {
    case Encoding::kFp8E4M3:
      return quantize_fp8(linear, scheme, numerics);
    case Encoding::kMxFp8:
    case Encoding::kMxFp4:
      return quantize_mx(linear, scheme, MxMethod::kMinMax, options, numerics);
    case Encoding::kNvFp4:
      return quantize_nvfp4(linear, scheme);
    default:
      return quantize_int_minmax(linear, scheme, numerics);
  }
}

RowsNeed minmax_rows_need(const QuantScheme& s, const MethodOptions&, Numerics) {
  const bool shared = s.weight_granularity == Granularity::kTensor || s.weight == Encoding::kNvFp4;
  return shared ? RowsNeed::kAbsmax : RowsNeed::kNothing;
}

bool int_only(const QuantScheme& s, std::string* why) {
  if (s.weight != Encoding::kInt8 && s.weight != Encoding::kInt4) {
    return refuse(why, "this is a method of int8 and int4");
  }
  return int_supports(s, why);
}

bool ssz_supports(const QuantScheme& s, const MethodOptions&, Numerics numerics, std::string* why) {
  if (numerics == Numerics::kCompat && s.weight_granularity != Granularity::kChannel) {
    return refuse(why, "msModelSlim has ssz per_channel alone; use --numerics precise");
  }
  return int_only(s, why);
}

// The reference's iteration ends when all rows have converged.
RowsNeed ssz_rows_need(const QuantScheme&, const MethodOptions&, Numerics numerics) {
  return numerics == Numerics::kCompat ? RowsNeed::kAll : RowsNeed::kNothing;
}

bool clip_supports(const QuantScheme& s, const MethodOptions&, Numerics numerics, std::string* why) {
  if (numerics == Numerics::kCompat) {
    return refuse(why, "msModelSlim has no clip search; use --numerics precise");
  }
  return int_only(s, why);
}

QuantizedLinear clip_run(const LinearWeight& linear, const QuantScheme& scheme, const MethodOptions&,
                         Numerics) {
  return quantize_clip(linear, scheme, linear.energies);
}

bool ggml_supports(const QuantScheme& s, const MethodOptions&, Numerics numerics, std::string* why) {
  if (!is_ggml(s.weight)) return refuse(why, "ggml makes the block formats of GGUF files");
  if (s.weight_granularity != Granularity::kBlock) return refuse(why, "the scope of this dtype is per_block");
  if (numerics == Numerics::kCompat) {
    return refuse(why, "msModelSlim has no GGUF formats; use --numerics precise");
  }
  return true;
}

QuantizedLinear ggml_run(const LinearWeight& linear, const QuantScheme& scheme, const MethodOptions&,
                         Numerics) {
  return quantize_ggml(linear, scheme);
}

bool mse_round_supports(const QuantScheme& s, const MethodOptions&, Numerics, std::string* why) {
  return s.weight == Encoding::kMxFp8 ? per_block(s, why) : refuse(why, "mse_round is a method of mxfp8");
}

bool mxfp4_supports(const QuantScheme& s, const MethodOptions&, Numerics, std::string* why) {
  return s.weight == Encoding::kMxFp4 ? per_block(s, why) : refuse(why, "this is a method of mxfp4");
}

bool ceil_x_supports(const QuantScheme& s, const MethodOptions& options, Numerics numerics,
                     std::string* why) {
  if (options.search_min > options.search_max || options.search_step <= 0) {
    return refuse(why, fmt::format("the search from {} to {} in steps of {} is empty", options.search_min,
                                   options.search_max, options.search_step));
  }
  return mxfp4_supports(s, options, numerics, why);
}

// The reference's search takes one factor for the tensor.
RowsNeed ceil_x_rows_need(const QuantScheme&, const MethodOptions& options, Numerics numerics) {
  return numerics == Numerics::kCompat && options.enable_search ? RowsNeed::kAll : RowsNeed::kNothing;
}

bool dualscale_supports(const QuantScheme& s, const MethodOptions& options, Numerics, std::string* why) {
  if (s.weight != Encoding::kMxFp4 || s.weight_granularity != Granularity::kDual) {
    return refuse(why, "dualscale is a method of mxfp4 with scope dual_scale");
  }
  return options.dual_block_size == 512 ||
         refuse(why, fmt::format("dual_block_size is {}; the runtimes know 512", options.dual_block_size));
}

template <MxMethod kMethod>
QuantizedLinear mx_run(const LinearWeight& linear, const QuantScheme& scheme, const MethodOptions& options,
                       Numerics numerics) {
  return quantize_mx(linear, scheme, kMethod, options, numerics);
}

constexpr std::string_view kMinmaxOptions[] = {"group_size", "axes"};
constexpr std::string_view kSszOptions[] = {"step", "group_size"};
constexpr std::string_view kClipOptions[] = {"group_size", "energies"};
constexpr std::string_view kMxOptions[] = {"axes"};
constexpr std::string_view kCeilXOptions[] = {"axes",       "ceil_x_value", "enable_search",
                                              "search_min", "search_max",   "search_step"};
constexpr std::string_view kDualOptions[] = {"axes", "dual_block_size"};

// The table. A new method: its file pair, its test and one row here.
constexpr WeightMethod kMethods[] = {
    {"minmax", kMinmaxOptions, minmax_supports, minmax_run, minmax_rows_need},
    {"ssz", kSszOptions, ssz_supports, quantize_ssz, ssz_rows_need},
    {"clip", kClipOptions, clip_supports, clip_run},
    {"mse_round", kMxOptions, mse_round_supports, mx_run<MxMethod::kMseRound>},
    {"ceil_x", kCeilXOptions, ceil_x_supports, mx_run<MxMethod::kCeilX>, ceil_x_rows_need},
    {"fouroversix", kMxOptions, mxfp4_supports, mx_run<MxMethod::kFourOverSix>},
    {"ggml", {}, ggml_supports, ggml_run},
    {"dualscale", kDualOptions, dualscale_supports, mx_run<MxMethod::kDualScale>},
};

std::string at(const Place& place) {
  return place.line > 0 ? fmt::format("line {}, column {}", place.line, place.column) : std::string();
}

}  // namespace

std::span<const WeightMethod> weight_methods() {
  return kMethods;
}

const WeightMethod* find_weight_method(std::string_view name) {
  for (const WeightMethod& method : kMethods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

QuantScheme scheme_of(const SideConfig& activation, const SideConfig& weight) {
  QuantScheme scheme;
  scheme.weight = weight.encoding;
  scheme.weight_granularity = weight.granularity;
  scheme.activation = activation.encoding;
  scheme.activation_granularity = activation.granularity;
  scheme.symmetric = activation.symmetric;
  switch (weight.granularity) {
    case Granularity::kGroup:
      scheme.group = weight.options.group_size;
      break;
    case Granularity::kBlock:
    case Granularity::kDual:
      scheme.group = weight.encoding == Encoding::kNvFp4 ? 16 : 32;
      break;
    default:
      break;
  }
  return scheme;
}

bool fits_shape(const QuantScheme& scheme, int64_t out, int64_t in, std::string* why) {
  if (out < 1 || in < 1) return refuse(why, fmt::format("the weight is [{}, {}]", out, in));
  int64_t unit = scheme.group > 0 ? scheme.group : 1;
  if (scheme.weight_granularity == Granularity::kDual) unit = 512;
  if (is_ggml(scheme.weight)) unit = ggml_block(scheme.weight).elements;
  if (in % unit != 0) return refuse(why, fmt::format("{} inputs do not divide into groups of {}", in, unit));
  return true;
}

void check_sides(const SideConfig& activation, const SideConfig& weight, Numerics numerics) {
  const WeightMethod* method = find_weight_method(weight.method);
  if (!method) {
    std::vector<std::string> names;
    for (const WeightMethod& known : kMethods) names.emplace_back(known.name);
    throw Error({.what = fmt::format("no weight method is called \"{}\"{}", weight.method,
                                     did_you_mean(weight.method, names)),
                 .where = at(weight.place),
                 .hint = fmt::format("known: {}", fmt::join(names, ", "))});
  }
  std::string why;
  if (!weight.symmetric) {
    why = "weights are symmetric in every scheme that a runtime executes";
  } else if (method->supports(scheme_of(activation, weight), weight.options, numerics, &why)) {
    return;
  }
  throw Error({.what = fmt::format("weight {} {} with method \"{}\": {}", weight.dtype, weight.scope,
                                   weight.method, why),
               .where = at(weight.place),
               .hint = {}});
}

QuantizedLinear quantize_linear(LinearWeight&& linear, const SideConfig& activation, const SideConfig& weight,
                                Numerics numerics) {
  check_sides(activation, weight, numerics);
  const QuantScheme scheme = scheme_of(activation, weight);
  std::string why;
  if (!fits_shape(scheme, linear.out(), linear.in(), &why)) {
    throw Error({.what = why, .where = linear.name, .hint = "exclude this layer in the recipe"});
  }
  return find_weight_method(weight.method)->run(linear, scheme, weight.options, numerics);
}

}  // namespace wanslim
