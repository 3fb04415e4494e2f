#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Formats the C++ sources in place; with --check only says what would change.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:+--dry-run -Werror}
git ls-files -co --exclude-standard 'src/*.h' 'src/*.cc' 'bench/*.cc' 'bench/*.h' 'tests/*.cc' | xargs -r clang-format-14 ${mode:--i}
