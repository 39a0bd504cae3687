# SPDX-License-Identifier: Apache-2.0
#
# complete.zsh WORD...: what zsh offers for the last of these words, one a line:
# the words are typed to an interactive zsh, and Tab.
zmodload zsh/zpty || exit 77
zpty nzd zsh -f -i

# Matches are printed instead of shown; those that are only collected into an
# array pass.
zpty -w nzd "fpath=($PWD/engine/completion \$fpath) PROMPT= PS2= RPROMPT="
zpty -w nzd "autoload -Uz compinit && compinit -D -u"
zpty -w nzd "bindkey '^I' complete-word"
zpty -w nzd 'compadd() {
  local -a found
  if [[ ${@[1,(i)(-|--)]} == *-[OAD]\ * ]]; then builtin compadd "$@"; return; fi
  builtin compadd -A found "$@"
  (( $#found )) && print -l -- "<"${^found}">"
}'
zpty -w nzd "ready() { print '<'ready'>' }; zle -N ready; bindkey '^G' ready"
zpty -n -w nzd "$*"$'\t\x07'

while zpty -r nzd line '*'$'\n'; do
    line=${${line%$'\n'}%$'\r'}
    [[ $line == *'<ready>'* ]] && break
    [[ $line =~ '<([a-z][a-z-]*|--[a-z-]+)>$' ]] && print -r -- $match[1]
done
zpty -d nzd
