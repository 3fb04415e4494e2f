// SPDX-License-Identifier: Apache-2.0
#include "eval/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/threads.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "eval/pictures.h"
#include "io/media.h"

namespace wanslim {
namespace {

std::string label(const std::string& path, const std::string& name) {
  return name.empty() ? path : (Path(path) / name).string();
}

struct CompareArgs {
  std::string a, b, side_by_side, contact_sheet;
  bool json = false;
  int64_t columns = 5, threads = 0;
};

// The video that the pictures show: the first one.
const ComparedItem& shown_video(const Comparison& comparison) {
  const auto item = std::find_if(comparison.items.begin(), comparison.items.end(),
                                 [](const ComparedItem& i) { return i.video.has_value(); });
  if (item == comparison.items.end()) {
    throw Error({.what = "there is no video to show",
                 .hint = "leave --side_by_side and --contact_sheet out",
                 .kind = Error::Kind::kUsage});
  }
  return *item;
}

void write_pictures(const CompareArgs& args, const Comparison& comparison, Terminal& terminal) {
  const ComparedItem& item = shown_video(comparison);
  const VideoPair pair{.a = item.video->a,
                       .b = item.video->b,
                       .metrics = item.video->metrics,
                       .label_a = label(args.a, item.name),
                       .label_b = label(args.b, item.name)};
  if (!args.side_by_side.empty()) {
    write_media(args.side_by_side, side_by_side(pair));
    terminal.info("wrote " + args.side_by_side);
  }
  if (!args.contact_sheet.empty()) {
    write_media(args.contact_sheet, contact_sheet(pair, args.columns));
    terminal.info("wrote " + args.contact_sheet);
  }
}

int run_compare(const CompareArgs& args) {
  Terminal terminal;
  set_threads(static_cast<int>(args.threads));
  if (args.columns < 1 || args.columns > 100) {
    throw Error(
        {.what = fmt::format("--columns {}, expected 1 to 100", args.columns), .kind = Error::Kind::kUsage});
  }
  if (!args.contact_sheet.empty()) check_media_name(args.contact_sheet, 1);
  const Comparison comparison = compare_paths(args.a, args.b);
  if (!args.side_by_side.empty()) check_media_name(args.side_by_side, shown_video(comparison).video->a.count);
  if (args.json) {
    std::printf("%s\n", to_json(comparison).dump(2).c_str());
  } else {
    std::fputs(to_text(comparison).c_str(), stdout);
  }
  if (!args.side_by_side.empty() || !args.contact_sheet.empty()) write_pictures(args, comparison, terminal);
  return 0;
}

}  // namespace

std::function<int()> setup_compare(Options& options) {
  auto args = std::make_shared<CompareArgs>();
  options.text("A", args->a, "video, picture, .safetensors, .npy or folder; the reference", true)
      .text("B", args->b, "what is compared with it", true)
      .text("--side_by_side", args->side_by_side, "write A, B and their difference as .mp4, .gif or .png")
      .text("--contact_sheet", args->contact_sheet, "write some frames of A, B and their difference as .png")
      .integer("--columns", args->columns, "frames on the contact sheet")
      .flag("--json", args->json, "report as JSON, per frame and in total")
      .integer("--threads", args->threads, "threads, 0: all cores");
  return [args] { return run_compare(*args); };
}

}  // namespace wanslim
