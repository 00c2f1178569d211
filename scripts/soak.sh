#!/usr/bin/env bash
# The long run of the fault tests of bridges: at least 10 million messages and 200 faults, over the proxy, then with
# keys, and, where namespaces are allowed, with cables that are pulled. Takes some 10 minutes, at most 40. Options go to
# test/faults/faults.py, where every other node compresses by way of the proxy: --seed N, --rate N, --messages N,
# --faults N, ...
set -euo pipefail
cd "$(dirname "$0")/.."

cmake --preset release >/dev/null
cmake --build --preset release --target ledger soma_command

echo "== by way of the proxy [${SECONDS}s]"
test/faults/faults.py build/release/test/ledger --messages 10000000 --faults 200 --seconds 1200 --compress 512 "$@"
echo "== the same with keys [${SECONDS}s]"
test/faults/faults.py build/release/test/ledger --messages 2000000 --faults 60 --seconds 600 --keys "$@"
if unshare --net true 2>/dev/null; then
    echo "== in namespaces [${SECONDS}s]"
    test/faults/faults.py build/release/test/ledger --net namespaces --messages 2000000 --faults 60 --seconds 600 "$@"
else
    echo "== in namespaces: SKIPPED, this machine does not allow them" | tee /dev/stderr
fi
echo "== done [${SECONDS}s]"
