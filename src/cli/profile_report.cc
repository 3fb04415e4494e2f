// SPDX-License-Identifier: Apache-2.0
#include "cli/profile_report.h"

#include <fmt/format.h>

#include "base/profile.h"

namespace wanslim {
namespace {

constexpr std::string_view kBackground = "in the background";

// With what is left of the time of the run.
std::vector<Profile::Row> all_rows() {
  std::vector<Profile::Row> rows = Profile::rows();
  double rest = Profile::seconds();
  for (const Profile::Row& row : rows) {
    if (!row.kind.ends_with(kBackground)) rest -= row.seconds;
  }
  rows.push_back({.kind = "everything else", .seconds = rest});
  return rows;
}

double rate(const Profile::Row& row) {
  return row.operations > 0 && row.seconds > 0 ? row.operations / row.seconds / 1e9 : 0;
}

}  // namespace

std::string profile_text() {
  const double whole = Profile::seconds();
  std::string out = fmt::format("{:<52} {:>9} {:>6} {:>8} {:>8}\n", "", "seconds", "", "calls", "GOP/s");
  for (const Profile::Row& row : all_rows()) {
    out += fmt::format("{:<52} {:9.3f} {:5.1f}% {:>8} {:>8}\n", row.kind, row.seconds,
                       whole > 0 ? 100 * row.seconds / whole : 0.0,
                       row.calls > 0 ? fmt::format("{}", row.calls) : "",
                       rate(row) > 0 ? fmt::format("{:.1f}", rate(row)) : "");
  }
  return out + fmt::format("{:<52} {:9.3f}", "together", whole);
}

Json profile_json() {
  Json out = Json::array();
  for (const Profile::Row& row : all_rows()) {
    Json item = {{"kind", row.kind}, {"seconds", row.seconds}, {"calls", row.calls}};
    item["gflops_per_second"] = rate(row) > 0 ? Json(rate(row)) : Json();
    out.push_back(item);
  }
  return out;
}

}  // namespace wanslim
