#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs into an empty folder and uses what is there as a user's shell would: both names, manual, completion.
set -euo pipefail
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

cmake --install "$BUILD" --prefix "$root" >"$root/log" || { cat "$root/log"; exit 1; }
for file in bin/wanslim bin/msmodelslim share/man/man1/wanslim.1 share/doc/wanslim/LICENSE share/doc/wanslim/README.md \
  share/bash-completion/completions/wanslim share/bash-completion/completions/msmodelslim \
  share/zsh/site-functions/_wanslim; do
  [ -e "$root/$file" ] || fail "$file is not installed"
done
[ "$(readlink "$root/bin/msmodelslim")" = wanslim ] || fail "msmodelslim is not a relative link to wanslim"

if [ "$WANSLIM" != "$BUILD/wanslim" ]; then exit 0; fi # cross build: the rest runs on the machine itself
PATH=$root/bin:$PATH
help=$(msmodelslim --help)
commands=$(awk '/^[A-Z]/ {on = /^Subcommands/} on && /^  [a-z]/ {print $1}' <<<"$help")
[ -n "$commands" ] || fail "no commands in --help"

python3 "$SOURCE/tools/update_man.py" --check "$root/bin/wanslim" || fail "the manual is not that of this program"

# Completion as bash does it: complete_line words... leaves the replies for the last word in COMPREPLY, `offers` looks
# for one of them.
source "$root/share/bash-completion/completions/msmodelslim"
complete_line() {
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  COMPREPLY=()
  _wanslim
}
offers() {
  local reply
  for reply in "${COMPREPLY[@]}"; do [ "$reply" != "$1" ] || return 0; done
  return 1
}
for command in $commands; do
  complete_line msmodelslim "${command:0:2}"
  offers "$command" || fail "bash does not complete $command"
done
complete_line wanslim quant --model_p
offers --model_path || fail "bash does not complete --model_path"
complete_line wanslim quant ""
[ ${#COMPREPLY[@]} = 0 ] || fail "bash offers options where a file belongs"
