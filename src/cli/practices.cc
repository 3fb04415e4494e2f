// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "base/json.h"
#include "cli/commands.h"
#include "config/practices.h"

namespace wanslim {
namespace {

struct PracticeArgs {
  std::string name;
  bool json = false;
};

int run_practices(const PracticeArgs& args) {
  if (!args.name.empty()) {
    std::fputs(std::string(choose_practice(args.name).yaml).c_str(), stdout);
    return 0;
  }
  Json list = Json::array();
  for (const Practice& practice : practices()) {
    list.push_back({{"name", practice.name},
                    {"quant_types", practice.quant_types},
                    {"description", practice.description}});
    if (args.json) continue;
    std::string types;
    for (const auto& type : practice.quant_types)
      types += fmt::format("{}{}", types.empty() ? "" : ", ", type);
    fmt::print("{:<32} {:<14} {}\n", practice.name, types, practice.description);
  }
  if (args.json) std::printf("%s\n", list.dump(2).c_str());
  if (!args.json)
    std::puts("\nwanslim practices NAME prints one as YAML, to be edited and given to quant --config_path");
  return 0;
}

}  // namespace

std::function<int()> setup_practices(Options& options) {
  auto args = std::make_shared<PracticeArgs>();
  options.text("NAME", args->name, "practice or quant_type to print as YAML")
      .flag("--json", args->json, "the list as JSON");
  return [args] { return run_practices(*args); };
}

}  // namespace wanslim
