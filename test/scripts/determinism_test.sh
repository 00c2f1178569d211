#!/usr/bin/env bash
# One seed, one run: every program with simulated tests, run twice, gives the same hashes of all that happened; and a
# replay, run twice, the same text.
set -euo pipefail
tests=$(dirname "$0")/..
build=$1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

for round in 1 2; do
    for source in "$tests"/{testkit,planted,semantics}/*_test.c; do
        program=$(basename "$source" .c)
        echo "$program" >>"$out/hashes$round"
        if ! SOMA_SEEDS=50 SOMA_TRACE_HASHES="$out/hashes$round" "$build/test/$program" >"$out/log" 2>&1; then
            cat "$out/log"
            exit 1
        fi
    done
    if ! SOMA_REPLAY=test_one_for_all/kills=3:7 "$build/test/supervisor_sim_test" >"$out/text$round" 2>&1; then
        cat "$out/text$round"
        exit 1
    fi
done

diff "$out/hashes1" "$out/hashes2"
diff "$out/text1" "$out/text2"
hashes=$(grep -cE '^[^ ]+ [0-9]+ [0-9]+ [0-9a-f]{16}$' "$out/hashes1")
lines=$(grep -c ' <- ' "$out/text1")
if [ "$hashes" -lt 30 ] || [ "$lines" -lt 30 ]; then
    echo "only $hashes hashes and $lines lines: that proves nothing"
    exit 1
fi
echo "$hashes tests and $lines lines of a replay are the same"
