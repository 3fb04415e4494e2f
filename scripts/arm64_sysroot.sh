#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Unpacks the 64-bit Arm builds of our libraries into build/arm64-sysroot. apt runs on a state of its own there, so
# the machine's package lists and architectures stay as they are and no root is needed.
set -euo pipefail
cd "$(dirname "$0")/.."

packages="libfmt-dev libfmt9 libxxhash-dev libxxhash0 libfyaml-dev libfyaml0 libhwy-dev libhwy1 nlohmann-json3-dev libcli11-dev libpng-dev
  libpng16-16 zlib1g-dev zlib1g libgtest-dev libgmock-dev googletest"

sysroot=$PWD/build/arm64-sysroot
[ "$(cat "$sysroot/packages" 2>/dev/null)" = "$packages" ] && exit 0
rm -rf "$sysroot"
mkdir -p "$sysroot"/apt/{state/lists/partial,cache/archives/partial,debs}
touch "$sysroot/apt/state/status"
cat >"$sysroot/apt/apt.conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "$(id -un)";
Dir::State "$sysroot/apt/state";
Dir::State::status "$sysroot/apt/state/status";
Dir::Cache "$sysroot/apt/cache";
Acquire::Languages "none";
Acquire::Retries "3";
END
export APT_CONFIG=$sysroot/apt/apt.conf
apt-get -qq update
# shellcheck disable=SC2086
(cd "$sysroot/apt/debs" && apt-get -qq download $packages)
for deb in "$sysroot"/apt/debs/*.deb; do dpkg-deb -x "$deb" "$sysroot"; done
rm -rf "$sysroot/apt"
echo "$packages" >"$sysroot/packages"
