# shellcheck shell=bash
# Completion of the command soma for bash: commands and options; names of agents are not known here.
_soma() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local commands="ping wait info call send get set kill shutdown nameserver ls addr watch nodes top run keygen"
    local options="--at --nameserver --timeout --json --secret-file --allowed-file --insecure --name --bind --follow --server --all --every --count
        --help --usage --version"
    case $before in
    --secret-file | --allowed-file | run | keygen)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    -a | --at | -s | --nameserver | -t | --timeout | -n | --name | -b | --bind | --follow | -e | --every | -c | --count)
        return
        ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
        return
    fi
    local each
    for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ " $commands " == *" $each "* ]] && return
    done
    mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")
}
complete -F _soma soma
