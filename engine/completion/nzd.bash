# SPDX-License-Identifier: Apache-2.0
#
# Completion of nzd for bash. Commands and options are those that this nzd
# tells of itself; it is asked nothing else, and no node.

_nzd_commands()
{
    nzd --help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' | sort -u
}

# Options of a command, or those of all.
_nzd_options()
{
    nzd ${1:+"$1"} --help 2>/dev/null |
        sed -n 's/^  \(-[a-z], \)\{0,1\}\(--[a-z-]*\).*/\2/p'
}

# Those of them that a value follows.
_nzd_valued()
{
    nzd ${1:+"$1"} --help 2>/dev/null | sed -n 's/^  \(--[a-z-]*\) [A-Z].*/\1/p'
}

# The first word that is neither an option nor its value.
_nzd_command()
{
    local valued i
    valued=$(_nzd_valued '')
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -*)
            ! grep -qxFe "${COMP_WORDS[i]}" <<<"$valued" || i=$((i + 1))
            ;;
        *)
            echo "${COMP_WORDS[i]}"
            return
            ;;
        esac
    done
}

_nzd_offer()
{
    mapfile -t COMPREPLY < <(compgen "$@")
}

_nzd_value()
{
    case $1 in
    --journal) _nzd_offer -d -- "$2" ;;
    --config | --cookie-file) _nzd_offer -f -- "$2" ;;
    --max | --min)
        _nzd_offer -W 'hot migrate restart-app restart-vm reboot' -- "$2"
        ;;
    --color) _nzd_offer -W 'auto always never' -- "$2" ;;
    esac
}

_nzd()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command
    command=$(_nzd_command)
    COMPREPLY=()
    if [[ $prev == --* ]] && grep -qxFe "$prev" < <(_nzd_valued "$command"); then
        _nzd_value "$prev" "$cur"
        return
    fi
    case $command,$cur in
    *,-*) _nzd_offer -W "$(_nzd_options "$command")" -- "$cur" ;;
    ,*) _nzd_offer -W "$(_nzd_commands)" -- "$cur" ;;
    journal,*) _nzd_offer -W 'show verify export import gc' -- "$cur" ;;
    health,*) _nzd_offer -W 'ok bad lift' -- "$cur" ;;
    apply,* | plan,*) _nzd_offer -f -- "$cur" ;;
    esac
}

complete -o filenames -F _nzd nzd
