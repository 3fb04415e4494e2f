// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <new>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/spelling.h"
#include "cli/version.h"

namespace wanslim {

struct Options::Impl {
  CLI::App* app;
  std::vector<std::string> names;  // for suggestions
};

namespace {

// Both spellings of an option's name for CLI11.
std::string spellings(const std::string& name) {
  if (!name.starts_with("--")) return name;
  std::string dashed = name;
  std::replace(dashed.begin() + 2, dashed.end(), '_', '-');
  return dashed == name ? name : name + "," + dashed;
}

int fail(const std::string& text, int status) {
  std::fprintf(stderr, "error: %s\n", printable(text).c_str());
  return status;
}

int usage(const std::string& text, const std::string& command) {
  fail(text, 2);
  std::fprintf(stderr, "see: wanslim %s--help\n", command.empty() ? "" : (command + " ").c_str());
  return 2;
}

// The first argument that nothing took, with the nearest known option.
std::string unknown_argument(const CLI::App& app, const std::vector<std::string>& known) {
  for (const std::string& argument : app.remaining(true)) {
    const std::string name = argument.substr(0, argument.find('='));
    if (name.starts_with("-")) return fmt::format("unknown option {}{}", name, did_you_mean(name, known));
    return fmt::format("unexpected argument \"{}\"", name);
  }
  return "unexpected arguments";
}

int run_one(const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& e) {
    switch (e.parts.kind) {
      case Error::Kind::kUsage:
        return fail(e.text, 2);
      case Error::Kind::kInterrupted:
        return fail(e.text, 130);
      default:
        return fail(e.text, 1);
    }
  } catch (const std::bad_alloc&) {
    return fail("out of memory (close other programs, or use a machine with more memory)", 1);
  } catch (const std::filesystem::filesystem_error& e) {
    return fail(e.what(), 1);
  }
}

}  // namespace

Options& Options::text(const std::string& name, std::string& value, const std::string& help, bool required) {
  impl_.names.push_back(name);
  impl_.app->add_option(spellings(name), value, help)
      ->required(required)
      ->type_name("TEXT")
      ->capture_default_str();
  return *this;
}

Options& Options::optional_text(const std::string& name, std::optional<std::string>& value,
                                const std::string& help) {
  impl_.names.push_back(name);
  const auto take = [&value](const std::vector<std::string>& given) {
    value = given.empty() ? std::string() : given[0];
    return true;
  };
  impl_.app->add_option(spellings(name), take, help)->expected(0, 1)->type_name("[TEXT]");
  return *this;
}

Options& Options::maybe_text(const std::string& name, std::optional<std::string>& value,
                             const std::string& help) {
  impl_.names.push_back(name);
  impl_.app->add_option(spellings(name), value, help)->type_name("TEXT");
  return *this;
}

Options& Options::texts(const std::string& name, std::vector<std::string>& values, const std::string& help) {
  impl_.names.push_back(name);
  impl_.app->add_option(spellings(name), values, help)->type_name("TEXT");
  return *this;
}

Options& Options::integer(const std::string& name, int64_t& value, const std::string& help) {
  impl_.names.push_back(name);
  impl_.app->add_option(spellings(name), value, help)->type_name("N")->capture_default_str();
  return *this;
}

Options& Options::number(const std::string& name, double& value, const std::string& help) {
  impl_.names.push_back(name);
  impl_.app->add_option(spellings(name), value, help)->type_name("X")->capture_default_str();
  return *this;
}

Options& Options::integer(const std::string& name, std::optional<int64_t>& value, const std::string& help) {
  impl_.names.push_back(name);
  impl_.app->add_option(spellings(name), value, help)->type_name("N");
  return *this;
}

Options& Options::number(const std::string& name, std::optional<double>& value, const std::string& help) {
  impl_.names.push_back(name);
  impl_.app->add_option(spellings(name), value, help)->type_name("X");
  return *this;
}

Options& Options::flag(const std::string& name, bool& value, const std::string& help) {
  impl_.names.push_back(name);
  impl_.app->add_flag(spellings(name), value, help);
  return *this;
}

Options& Options::choice(const std::string& name, std::string& value, const std::vector<std::string>& allowed,
                         const std::string& help) {
  impl_.names.push_back(name);
  const auto check = [allowed](const std::string& given) {
    if (std::find(allowed.begin(), allowed.end(), given) != allowed.end()) return std::string();
    return fmt::format("\"{}\" is not one of {}{}", given, fmt::join(allowed, ", "),
                       did_you_mean(given, allowed));
  };
  impl_.app->add_option(spellings(name), value, help)
      ->check(check)
      ->type_name(fmt::format("{{{}}}", fmt::join(allowed, ",")))
      ->capture_default_str();
  return *this;
}

int run_commands(int argc, char** argv, const std::vector<Command>& commands) {
  CLI::App app(
      "WanSlim quantizes Wan2.1 video diffusion checkpoints on any CPU host.\n"
      "`wanslim COMMAND --help` shows the options of a command.",
      "wanslim");
  app.set_version_flag("--version", std::string("wanslim ") + kVersion);
  app.get_formatter()->column_width(34);
  std::map<std::string, std::unique_ptr<Options::Impl>> impls;
  std::map<std::string, std::function<int()>> bodies;
  std::vector<std::string> names;
  for (const Command& command : commands) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    sub->allow_extras();
    impls[command.name] = std::make_unique<Options::Impl>(Options::Impl{.app = sub, .names = {"--help"}});
    Options options(*impls[command.name]);
    bodies[command.name] = command.setup(options);
    names.emplace_back(command.name);
  }
  app.allow_extras();
  std::string chosen;
  try {
    app.parse(argc, argv);
    for (CLI::App* sub : app.get_subcommands()) chosen = sub->get_name();
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    for (CLI::App* sub : app.get_subcommands()) {
      chosen = sub->get_name();
      if (!sub->remaining().empty()) return usage(unknown_argument(*sub, impls[chosen]->names), chosen);
    }
    return usage(e.what(), chosen);
  }
  if (chosen.empty()) {
    const std::vector<std::string> rest = app.remaining(true);
    if (!rest.empty())
      return usage(fmt::format("unknown command \"{}\"{}", rest[0], did_you_mean(rest[0], names)), "");
    std::fputs(app.help().c_str(), stdout);
    return 0;
  }
  const CLI::App* sub = app.get_subcommand(chosen);
  if (!sub->remaining().empty()) return usage(unknown_argument(*sub, impls[chosen]->names), chosen);
  catch_interrupts();
  return run_one(bodies[chosen]);
}

}  // namespace wanslim
