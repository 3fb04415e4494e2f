#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the libFuzzer targets of build/asan, as many at a time as there are cores; prints one line for each.
#   tools/fuzz.sh [runs [seconds [target ...]]]     10000 runs, no longer than 10 s, all targets
# Seeds are the files of tests/data that the target reads and tests/data/fuzz/<target>; what is found on the way
# stays in build/corpus/<target> for the next time, what fails in build/asan/<target>-crash-*. FUZZ_SEED: 1.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-10000} seconds=${2:-10}
shift $(($# < 2 ? $# : 2))
targets=("$@")
[ ${#targets[@]} -gt 0 ] || for program in build/asan/*_fuzz; do targets+=("$(basename "$program")"); done

# Sanitizers cannot lay out their shadow memory under some kernels' address randomisation.
plain_layout=()
setarch -R true 2>/dev/null && plain_layout=(setarch -R)

seeds() {
  case $1 in
    media_fuzz | png_fuzz) echo tests/data/images ;;
    npy_fuzz) echo tests/data/npy ;;
    recipe_yaml_fuzz | yaml_fuzz) echo tests/data/recipes ;;
    torch_zip_fuzz) echo tests/data/official/pth ;;
  esac
  if [ -d "tests/data/fuzz/$1" ]; then echo "tests/data/fuzz/$1"; fi
}

fuzz_one() {
  local name=$1 corpus=build/corpus/$1 log=build/asan/$1.log
  mkdir -p "$corpus"
  # shellcheck disable=SC2046
  if "${plain_layout[@]}" "build/asan/$name" -seed="${FUZZ_SEED:-1}" -runs="$runs" -max_total_time="$seconds" \
    -timeout=20 -rss_limit_mb=3072 -max_len=8192 -artifact_prefix="build/asan/$name-" "$corpus" $(seeds "$name") \
    >"$log" 2>&1; then
    echo "$name: $(grep -a DONE "$log" | tail -n 1)"
  else
    tail -n 30 "$log"
    echo "$name: FAILED"
    return 1
  fi
}

passed=0 failed=0 running=()
join_one() {
  if wait "${running[0]}"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  running=("${running[@]:1}")
}
for name in "${targets[@]}"; do
  [ ${#running[@]} -lt "$(nproc)" ] || join_one
  fuzz_one "$name" &
  running+=($!)
done
while [ ${#running[@]} -gt 0 ]; do join_one; done
[ ! -d build ] || echo "$passed $failed 0" >build/counts
[ $failed = 0 ]
