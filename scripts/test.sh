#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything that must hold before a change lands; needs nothing but Debian 12, apt and this checkout.
#   scripts/test.sh           all stages
#   scripts/test.sh --quick   checks of the sources, build, tests
# Ends with the time of each stage and "N passed, N failed, N skipped".
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh

quick=
case "${1:-}" in
  "") ;;
  --quick) quick=yes ;;
  *) echo "usage: scripts/test.sh [--quick]" >&2; exit 2 ;;
esac

jobs=$(nproc)
# Names of tests, as regular expressions: where threads start, and what a machine can do otherwise (arithmetic, signs of
# char). Under emulation they take ten times as long: of those that run the program, and of the models, some are enough.
tsan_tests='^(base|quant|calib|formats)/'
arm64_tests='^(base|tensor|config|io|kernels|quant|nn|models|formats|golden)/|^tests/cli/(golden|malformed|same_bytes)_test'
arm64_left_out='^models/(wan_traps|wan_cost|wan_vae|clip_vision)_test'
total_passed=0 total_failed=0 total_skipped=0
table=""

# Sanitizers of g++ 12 cannot lay out their shadow memory under some kernels' address randomisation.
plain_layout=()
setarch -R true 2>/dev/null && plain_layout=(setarch -R)

# tally passed failed skipped
tally() {
  total_passed=$((total_passed + $1)) total_failed=$((total_failed + $2)) total_skipped=$((total_skipped + $3))
}

# stage name command ...: runs it with `set -e` in a subshell that may leave its counts in build/counts; without
# them it counts as one test. Returns the command's status.
stage() {
  local name=$1 start=$SECONDS status=0
  shift
  printf '\n== %s\n' "$name"
  mkdir -p build
  rm -f build/counts
  set +e
  (set -e; "$@")
  status=$?
  set -e
  local counts="1 0 0"
  [ $status = 0 ] || counts="0 1 0"
  [ -s build/counts ] && counts=$(<build/counts)
  # shellcheck disable=SC2086
  tally $counts
  table+=$(printf '%5d s  %-24s %s' $((SECONDS - start)) "$name" \
    "$(printf '%s passed, %s failed, %s skipped' $counts)")$'\n'
  return $status
}

packages() {
  local groups=(build media test bench lint)
  [ -n "$quick" ] || groups+=(fuzz)
  [ -n "$quick" ] || [ "$(uname -m)" = aarch64 ] || groups+=(arm64)
  need "${groups[@]}"
}

sources() {
  bash -n scripts/*.sh tools/*.sh .ci/run $(git ls-files 'tests/*.sh')
  tools/format.sh --check
  python3 tools/check_layers.py
  python3 tools/check_tree.py
  local page
  for page in $(git ls-files 'docs/man/*'); do mandoc -T lint -W warning "$page"; done
}

# build preset [cmake options ...]: quiet unless it fails.
build() {
  local preset=$1 log=build/$1.log
  shift
  if ! { cmake --preset "$preset" "$@" && cmake --build --preset "$preset" -j "$jobs"; } >"$log" 2>&1; then
    tail -n 60 "$log"
    return 1
  fi
}

# run_tests preset [ctest options ...]
run_tests() {
  local preset=$1 reports=$PWD/build/$1/reports status=0
  shift
  rm -rf "$reports"
  mkdir -p "$reports"
  "${plain_layout[@]}" ctest --preset "$preset" -j "$jobs" --timeout 900 \
    --no-tests=error --output-junit "$reports/ctest.xml" "$@" || status=$?
  python3 tools/count_tests.py "$reports" >build/counts
  return $status
}

# some_tests preset regex left_out target ...: builds the targets and the programs of the tests of the first name and
# not of the second, and runs the tests.
some_tests() {
  local preset=$1 choice=(-R "$2" -E "$3") targets
  shift 3
  cmake --preset "$preset" >"build/$preset.log"
  targets=$(ctest --preset "$preset" -N "${choice[@]}" | sed -nE 's,^ *Test +#[0-9]+: ([a-z0-9]*)/[^/]*$,\1_test,p' | sort -u)
  # shellcheck disable=SC2086
  cmake --build --preset "$preset" -j "$jobs" --target "$@" $targets >"build/$preset.log" 2>&1 ||
    { tail -n 60 "build/$preset.log"; return 1; }
  run_tests "$preset" "${choice[@]}"
}

# Over what build/asan compiles: files of src/ alone, and those that include several of them (cmake/unity.cmake).
# Highway's files for one target of theirs, whose vectors are arrays: the source is the same for all.
tidy() {
  local alone='src/.*(?<!_fuzz)(?<!_test)\.cc' together='build/asan/CMakeFiles/ws_.*/Unity/.*'
  run-clang-tidy-14 -quiet -p build/asan -j "$jobs" -extra-arg=-DHWY_COMPILE_ONLY_EMU128 "^$PWD/($alone|$together)$" >build/tidy.log 2>&1 ||
    { grep -E '(warning|error|note):' build/tidy.log | sort -u | head -n 60; return 1; }
  grep -q /Unity/ build/tidy.log || { echo "build/asan compiles nothing together: most of src was not looked at"; return 1; }
}

on_arm64() {
  scripts/arm64_sysroot.sh
  some_tests arm64 "$arm64_tests" "$arm64_left_out" wanslim
}

stage "packages" packages || exit 1
stage "sources" sources || true
stage "build" build dev -DWANSLIM_BENCH=ON -DWANSLIM_UNITY_TESTS=ON && stage "tests" run_tests dev || true
if [ -z "$quick" ]; then
  stage "build, clang, asan + ubsan" build asan && stage "tests, asan + ubsan" run_tests asan &&
    stage "fuzz" tools/fuzz.sh || true
  stage "tests, tsan" some_tests tsan "$tsan_tests" '^$' || true
  stage "clang-tidy" tidy || true
  if [ "$(uname -m)" != aarch64 ]; then
    stage "tests, arm64" on_arm64 || true
  fi
fi
printf '\n%s%5d s  all\n' "$table" $SECONDS
echo "$total_passed passed, $total_failed failed, $total_skipped skipped"
[ $total_failed = 0 ]
