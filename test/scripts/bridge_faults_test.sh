#!/usr/bin/env bash
# Nodes that are linked send each other numbered messages, and each arrives once and in order, or is reported: while a
# proxy harms what passes, of which some is compressed if that is built in, nodes stop, die and come again; while
# strangers are at the door; and while cables between network namespaces are pulled, where those are allowed.
# scripts/soak.sh does the same for long.
set -euo pipefail
ledger=$1/test/ledger
faults=$(dirname "$0")/../faults/faults.py
load=(--rate 2000 --down-ms 5000)
compress=()
if grep -q '^SOMA_ZSTD:BOOL=ON' "$1/CMakeCache.txt"; then compress=(--compress 512); fi

echo "== by way of the proxy"
"$faults" "$ledger" --seconds 60 --faults 14 --pause 0.1 "${load[@]}" "${compress[@]}"
echo "== with keys"
"$faults" "$ledger" --seconds 30 --faults 14 --pause 0.1 --keys "${load[@]}"
echo "== with strangers"
"$faults" "$ledger" --net strangers --seconds 4 "${load[@]}"
if unshare --net true 2>/dev/null; then
    echo "== in namespaces"
    "$faults" "$ledger" --net namespaces --seconds 30 --faults 5 --pause 0.1 "${load[@]}"
else
    echo "== in namespaces: SKIPPED, this machine does not allow them (root in a container is needed)" | tee /dev/stderr
fi
