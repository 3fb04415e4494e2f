#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian 12 packages that are missing, and nothing when none is.
#   scripts/setup.sh [group ...]     groups: build media test lint fuzz arm64 bench; "build" when none is named
# The other scripts source this file and call need().
set -euo pipefail

packages_build="cmake ninja-build g++ pkg-config libfmt-dev nlohmann-json3-dev libxxhash-dev libfyaml-dev libhwy-dev
  libcli11-dev libpng-dev"
packages_media="libavformat-dev libavcodec-dev libavutil-dev libswscale-dev" # optional: JPEG, WebP, videos
packages_test="git python3 libgtest-dev libgmock-dev"
packages_lint="git python3 clang-format-14 clang-tidy-14 mandoc"
packages_fuzz="clang-14 libclang-rt-14-dev"
packages_arm64="g++-aarch64-linux-gnu qemu-user"
packages_bench="libbenchmark-dev"

apt_log=$(mktemp)
trap 'rm -f "$apt_log"' EXIT
apt_lists_fresh=

# as_root command ...: runs it directly, or through sudo (which may ask only when somebody is there to answer).
as_root() {
  if [ "$(id -u)" = 0 ]; then
    DEBIAN_FRONTEND=noninteractive "$@"
  else
    local ask=()
    [ -t 0 ] || ask=(-n)
    sudo "${ask[@]}" env DEBIAN_FRONTEND=noninteractive "$@"
  fi
}

# need group ...: makes sure that the packages of these groups are installed; one error and exit 1 if it cannot.
need() {
  local group list package missing=()
  for group in "$@"; do
    list=packages_$group
    for package in ${!list:?unknown package group $group}; do
      [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
  done
  [ ${#missing[@]} = 0 ] && return 0
  if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; }; then
    echo "error: these Debian 12 packages are needed and cannot be installed from here: ${missing[*]}" >&2
    exit 1
  fi
  echo "installing: ${missing[*]}"
  local apt=(apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  if ! { [ -n "$apt_lists_fresh" ] || as_root "${apt[@]}" update; } >"$apt_log" 2>&1 </dev/null ||
    ! as_root "${apt[@]}" install --no-install-recommends "${missing[@]}" >>"$apt_log" 2>&1 </dev/null; then
    tail -n 5 "$apt_log" >&2
    echo "error: cannot install ${missing[*]}; install them by hand and start again" >&2
    exit 1
  fi
  apt_lists_fresh=yes
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  need "${@:-build}"
fi
