// SPDX-License-Identifier: Apache-2.0
#include "models/lora_report.h"

#include "base/error.h"
#include "config/wan_variants.h"

namespace wanslim {

std::optional<LoraReport> report_on_lora(const Checkpoint& checkpoint, const Path& path) {
  if (!is_adapter(checkpoint)) return std::nullopt;
  LoraReport report;
  report.contents.keys = checkpoint.tensors().size();
  const LoraFile file{.path = path};
  for (const WanVariant& variant : wan_variants()) {
    try {
      const LoraSet set = LoraSet::open({&file, 1}, tensor_specs(variant.geometry));
      const size_t unmatched = set.unmatched().size();
      if (!report.variants.empty() && unmatched > report.unmatched.size()) continue;
      if (report.variants.empty() || unmatched < report.unmatched.size()) {
        report.variants.clear();
        report.unmatched.clear();
        for (const UnmatchedKey& key : set.unmatched()) report.unmatched.push_back(key.key);
        report.contents = set.contents()[0];
      }
      report.variants.emplace_back(variant.name);
    } catch (const Error& e) {
      report.why = e.parts.what;
    }
  }
  return report;
}

}  // namespace wanslim
