#!/usr/bin/env bash
# Runs an example, and compares what it prints with a file, line by line. If the file ends in .each.txt, only lines that
# begin with the same word keep their order: each line says by that who prints it. In .any.txt no line keeps it. A star in
# the file stands for anything.
set -euo pipefail
program=$1
file=$2

printed=$("$program")
mapfile -t got <<<"$printed"
mapfile -t expected <"$file"
if [ ${#got[@]} != ${#expected[@]} ]; then
    printf '%s lines in place of %s:\n%s\n' "${#got[@]}" "${#expected[@]}" "$printed"
    exit 1
fi

# Whether no line of this kind may come before the expected one.
comes_next() {
    case $file in
    *.any.txt) false ;;
    *.each.txt) [ "${1%% *}" = "${2%% *}" ] ;;
    *) true ;;
    esac
}

for line in "${got[@]}"; do
    found=
    for i in "${!expected[@]}"; do
        # shellcheck disable=SC2053 # the right side is a pattern
        if [[ $line == ${expected[i]} ]]; then
            unset "expected[i]"
            found=yes
            break
        fi
        if comes_next "$line" "${expected[i]}"; then
            break
        fi
    done
    if [ -z "$found" ]; then
        printf 'not expected here: %s\nin\n%s\n' "$line" "$printed"
        exit 1
    fi
done
