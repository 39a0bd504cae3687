# SPDX-License-Identifier: Apache-2.0
#
# complete.bash WORD...: what bash offers for the last of these words, one a
# line, by the function that completion registers for the first.
source engine/completion/nzd.bash

function_of=$(complete -p "$1")
function_of=${function_of##*-F }
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
"${function_of%% *}" "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
