# SPDX-License-Identifier: Apache-2.0
# Completion for bash. Commands and options are asked of the program's own help, so they are never out of date.

_wanslim() {
  local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} words
  if [ "$COMP_CWORD" = 1 ]; then
    words=$("$program" --help 2>/dev/null | awk '/^[A-Z]/ {on = /^Subcommands/} on && /^  [a-z]/ {print $1}')
  elif [[ $current == -* ]]; then
    words=$("$program" "${COMP_WORDS[1]}" --help 2>/dev/null | grep -oE -e '--[a-z][a-z_-]*' | sort -u)
  else
    return 0 # files and folders
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words --help --version" -- "$current")
}
complete -o default -F _wanslim wanslim msmodelslim
