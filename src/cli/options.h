// SPDX-License-Identifier: Apache-2.0
// Options of a command, on CLI11, which options.cc alone knows. Every name is accepted with '_' and with '-'
// between its words: --model_path and --model-path are the same option.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace wanslim {

class Options {
 public:
  struct Impl;
  explicit Options(Impl& impl) : impl_(impl) {}

  // `name` is "--save_path" or, for a positional argument, "PATH". `value` keeps what it holds if the option
  // is absent.
  Options& text(const std::string& name, std::string& value, const std::string& help, bool required = false);
  // May stand without a value: absent, "" and a value differ.
  Options& optional_text(const std::string& name, std::optional<std::string>& value, const std::string& help);
  Options& maybe_text(const std::string& name, std::optional<std::string>& value, const std::string& help);
  Options& texts(const std::string& name, std::vector<std::string>& values, const std::string& help);
  Options& integer(const std::string& name, int64_t& value, const std::string& help);
  Options& number(const std::string& name, double& value, const std::string& help);
  // Absent: the caller's own default.
  Options& integer(const std::string& name, std::optional<int64_t>& value, const std::string& help);
  Options& number(const std::string& name, std::optional<double>& value, const std::string& help);
  Options& flag(const std::string& name, bool& value, const std::string& help);
  Options& choice(const std::string& name, std::string& value, const std::vector<std::string>& allowed,
                  const std::string& help);

 private:
  Impl& impl_;
};

// One command: its row in main.cc's table.
struct Command {
  const char* name;
  const char* summary;
  // Declares the options and returns what runs once they are parsed; its result is the exit status.
  std::function<int()> (*setup)(Options& options);
};

// Parses and runs. Prints help and errors; returns the exit status (0, 1, 2 for usage, 130 after Ctrl-C).
int run_commands(int argc, char** argv, const std::vector<Command>& commands);

}  // namespace wanslim
