#!/usr/bin/env bash
# A failure's report says how to run it again: each of its commands, in a process of its own, fails in the same place,
# once.
set -euo pipefail
tests=$(dirname "$0")/..
build=$1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
replays=0

for source in "$tests"/planted/*_test.c "$tests"/testkit/{explore,network}_test.c; do
    if ! SOMA_SEEDS=1 "$build/test/$(basename "$source" .c)" >"$out/log" 2>&1; then
        cat "$out/log"
        exit 1
    fi
    place=
    while IFS= read -r line; do
        case $line in
        *'[   LINE   ] --- '*) place=${line##*--- } ;;
        *' SOMA_REPLAY='*)
            if bash -c "${line#*:  }" >"$out/again" 2>&1 ||
                [ "$(grep -cF -- "--- $place" "$out/again")" != 1 ]; then
                printf '%s\nshould have failed once, at %s but said:\n' "$line" "$place"
                cat "$out/again"
                exit 1
            fi
            replays=$((replays + 1))
            ;;
        esac
    done <"$out/log"
done

if [ "$replays" -lt 20 ]; then
    echo "only $replays replays: that proves nothing"
    exit 1
fi
echo "$replays replays fail where the run failed"

# One that no test of the program is meant by is no success, whatever else the program does.
if SOMA_REPLAY=test_nothing:1 "$build/test/explore_test" >"$out/log" 2>&1 ||
    ! grep -q '^SOMA_REPLAY=test_nothing:1: there is no such test in ' "$out/log"; then
    cat "$out/log"
    echo "a replay of a test that is not there must fail"
    exit 1
fi
echo "a replay of no test fails"
