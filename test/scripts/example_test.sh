#!/usr/bin/env bash
# Runs an example, and compares what it prints with a file: line by line, or, if that ends in .any.txt, in any order. A
# star in the file stands for anything.
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
for line in "${got[@]}"; do
    found=
    for i in "${!expected[@]}"; do
        # shellcheck disable=SC2053 # the right side is a pattern
        if [[ $line == ${expected[i]} ]]; then
            unset "expected[i]"
            found=yes
            break
        fi
        if [ "${file%.any.txt}" == "$file" ]; then
            break # only the next one counts
        fi
    done
    if [ -z "$found" ]; then
        printf 'not expected here: %s\nin\n%s\n' "$line" "$printed"
        exit 1
    fi
done
