// SPDX-License-Identifier: Apache-2.0
#include "config/wan_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/error.h"
#include "base/spelling.h"

namespace wanslim {
namespace {

// One module with parameters: its official path below a block or the model, and what diffusers calls it.
struct ModuleName {
  std::string_view official, diffusers;
};

constexpr ModuleName kBlockModules[] = {
    {"modulation", "scale_shift_table"},
    {"self_attn.q", "attn1.to_q"},
    {"self_attn.k", "attn1.to_k"},
    {"self_attn.v", "attn1.to_v"},
    {"self_attn.o", "attn1.to_out.0"},
    {"self_attn.norm_q", "attn1.norm_q"},
    {"self_attn.norm_k", "attn1.norm_k"},
    {"norm3", "norm2"},
    {"cross_attn.q", "attn2.to_q"},
    {"cross_attn.k", "attn2.to_k"},
    {"cross_attn.v", "attn2.to_v"},
    {"cross_attn.o", "attn2.to_out.0"},
    {"cross_attn.norm_q", "attn2.norm_q"},
    {"cross_attn.norm_k", "attn2.norm_k"},
    {"cross_attn.k_img", "attn2.add_k_proj"},
    {"cross_attn.v_img", "attn2.add_v_proj"},
    {"cross_attn.norm_k_img", "attn2.norm_added_k"},
    {"ffn.0", "ffn.net.0.proj"},
    {"ffn.2", "ffn.net.2"},
    {"before_proj", "proj_in"},
    {"after_proj", "proj_out"},
};

constexpr ModuleName kRootModules[] = {
    {"patch_embedding", "patch_embedding"},
    {"text_embedding.0", "condition_embedder.text_embedder.linear_1"},
    {"text_embedding.2", "condition_embedder.text_embedder.linear_2"},
    {"time_embedding.0", "condition_embedder.time_embedder.linear_1"},
    {"time_embedding.2", "condition_embedder.time_embedder.linear_2"},
    {"time_projection.1", "condition_embedder.time_proj"},
    {"head.modulation", "scale_shift_table"},
    {"head.head", "proj_out"},
    {"img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed"},
    {"img_emb.proj.0", "condition_embedder.image_embedder.norm1"},
    {"img_emb.proj.1", "condition_embedder.image_embedder.ff.net.0.proj"},
    {"img_emb.proj.3", "condition_embedder.image_embedder.ff.net.2"},
    {"img_emb.proj.4", "condition_embedder.image_embedder.norm2"},
    {"vace_patch_embedding", "vace_patch_embedding"},
};

constexpr std::string_view kBlocks = "blocks", kVaceBlocks = "vace_blocks";

// How a scheme spells names: a prefix before everything, and which column of the tables.
struct NamingRow {
  Naming naming;
  std::string_view name, prefix;
  std::string_view ModuleName::*column;
};
constexpr NamingRow kNamings[] = {
    {Naming::kOfficial, "official", "", &ModuleName::official},
    {Naming::kDiffusers, "diffusers", "", &ModuleName::diffusers},
    {Naming::kComfyUi, "comfyui", "model.diffusion_model.", &ModuleName::official},
};

const NamingRow& row_of(Naming naming) {
  return kNamings[static_cast<size_t>(naming)];
}

bool is_under(std::string_view name, std::string_view path) {
  return name.starts_with(path) && (name.size() == path.size() || name[path.size()] == '.');
}

// A name taken apart by the tables of one scheme.
struct Parsed {
  const ModuleName* row = nullptr;  // null: no module is called so
  std::optional<BlockPath> block;
  std::string_view rest;  // what follows the module's path
};

Parsed parse(std::string_view name, const NamingRow& scheme) {
  if (!name.starts_with(scheme.prefix)) return {};
  name.remove_prefix(scheme.prefix.size());
  Parsed out;
  out.block = parse_block_path(name);
  if (out.block) name = out.block->rest;
  for (const ModuleName& row : out.block ? std::span<const ModuleName>(kBlockModules) : kRootModules) {
    if (!is_under(name, row.*scheme.column)) continue;
    out.row = &row;
    out.rest = name.substr((row.*scheme.column).size());
    break;
  }
  return out;
}

// `name` with the module's path replaced, from the spelling of one scheme to that of another.
std::optional<std::string> translate(std::string_view name, const NamingRow& from, const NamingRow& to) {
  const Parsed parsed = parse(name, from);
  if (!parsed.row) return std::nullopt;
  std::string out(to.prefix);
  if (parsed.block) out += fmt::format("{}.{}.", parsed.block->list, parsed.block->index);
  out += parsed.row->*to.column;
  return out += parsed.rest;
}

}  // namespace

std::string_view name_of(Naming naming) {
  return row_of(naming).name;
}

Naming naming_from_name(std::string_view name) {
  std::vector<std::string> known;
  for (const NamingRow& row : kNamings) {
    if (row.name == name) return row.naming;
    known.emplace_back(row.name);
  }
  throw Error({.what = fmt::format("unknown naming \"{}\"{}", printable(name), did_you_mean(name, known)),
               .hint = fmt::format("the namings are {}", fmt::join(known, ", ")),
               .kind = Error::Kind::kUsage});
}

Naming detect_naming(std::span<const std::string> names) {
  std::array<size_t, std::size(kNamings)> hits{};
  for (const std::string& name : names) {
    for (size_t i = 0; i < hits.size(); ++i) hits[i] += parse(name, kNamings[i]).row != nullptr;
  }
  return kNamings[std::max_element(hits.begin(), hits.end()) - hits.begin()].naming;
}

std::optional<std::string> official_name(Naming naming, std::string_view name) {
  return translate(name, row_of(naming), row_of(Naming::kOfficial));
}

std::optional<std::string> name_in(Naming naming, std::string_view official) {
  return translate(official, row_of(Naming::kOfficial), row_of(naming));
}

std::optional<BlockPath> parse_block_path(std::string_view name) {
  for (const std::string_view list : {kBlocks, kVaceBlocks}) {
    if (!name.starts_with(list) || name.size() <= list.size() || name[list.size()] != '.') continue;
    const std::string_view tail = name.substr(list.size() + 1);
    const size_t digits = std::min(tail.find_first_not_of("0123456789"), tail.size());
    if (digits == 0 || digits > 6 || digits + 1 >= tail.size() || tail[digits] != '.') return std::nullopt;
    if (digits > 1 && tail[0] == '0') return std::nullopt;
    int64_t index = 0;
    for (char c : tail.substr(0, digits)) index = index * 10 + (c - '0');
    return BlockPath{.list = name.substr(0, list.size()), .index = index, .rest = tail.substr(digits + 1)};
  }
  return std::nullopt;
}

}  // namespace wanslim
