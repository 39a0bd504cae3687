# SPDX-License-Identifier: Apache-2.0
#
# Completion of nzd for bash. Commands and options are those that this nzd
# tells of itself; it is asked nothing else, and no node.

_nzd_commands()
{
    nzd --help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' | sort -u
}

_nzd_options()
{
    nzd "$1" --help 2>/dev/null |
        sed -n 's/^  \(-[a-z], \)\{0,1\}\(--[a-z-]*\).*/\2/p'
}

_nzd()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local command='' i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -*) ;;
        *) command=${COMP_WORDS[i]} && break ;;
        esac
    done
    COMPREPLY=()
    case $prev in
    --journal)
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    --config | --cookie-file)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --max | --min)
        mapfile -t COMPREPLY < <(compgen -W \
            'hot migrate restart-app restart-vm reboot' -- "$cur")
        return
        ;;
    --color)
        mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$cur")
        return
        ;;
    esac
    if [ -z "$command" ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_nzd_commands)" -- "$cur")
        return
    fi
    case $cur in
    -*)
        mapfile -t COMPREPLY < <(compgen -W "$(_nzd_options "$command")" -- "$cur")
        return
        ;;
    esac
    case $command in
    journal)
        mapfile -t COMPREPLY < <(compgen -W 'show verify export import gc' -- "$cur")
        ;;
    health)
        mapfile -t COMPREPLY < <(compgen -W 'ok bad lift' -- "$cur")
        ;;
    apply | plan)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        ;;
    esac
}

complete -o filenames -F _nzd nzd
