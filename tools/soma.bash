# shellcheck shell=bash
# Completion of the command soma for bash: commands, options, files, and the names at the name service.
_soma() {
    local word=${COMP_WORDS[COMP_CWORD]} at=$((COMP_CWORD - 1))
    local commands="ping wait info call send get set kill shutdown nameserver ls addr watch nodes top run keygen"
    local agents="ping wait info call send get set kill shutdown addr"
    local options="--at --nameserver --timeout --verbose --json --secret-file --allowed-file --insecure --name --bind --follow --server --all --every --count
        --help --usage --version"
    # `--option=word` comes in three words
    [[ $word == = ]] && word=
    [[ ${COMP_WORDS[at]} == = ]] && at=$((at - 1))
    [[ -z $word && ${COMP_WORDS[COMP_CWORD]} == = ]] && at=$((COMP_CWORD - 1))
    case ${COMP_WORDS[at]} in
    --secret-file | --allowed-file | run | keygen)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return 0
        ;;
    -a | --at | -s | --nameserver | -t | --timeout | -n | --name | -b | --bind | --follow | -e | --every | -c | --count)
        return 0
        ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
        return 0
    fi
    local each command=
    for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ " $commands " == *" $each "* ]] && command=$each && break
    done
    if [[ -n $command ]]; then
        # with an address, AGENT is a local name there, of which there is no list
        if [[ $command == "${COMP_WORDS[at]}" && " $agents " == *" $command "* && -z ${SOMA_AT-} ]]; then
            mapfile -t COMPREPLY < <("${COMP_WORDS[0]}" --timeout=0.5 ls "${word:-}" 2>/dev/null | sed -n 's/^\([^ ]\+\) .*/\1/p')
            compopt +o filenames 2>/dev/null || true
        fi
        return 0
    fi
    mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")
}
complete -o filenames -F _soma soma
