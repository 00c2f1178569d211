#!/usr/bin/env bash
# A node in another language, written from docs/protocol.md alone, works with the one in C: it joins, loses a connection
# within a session, is found by name, asks, answers, watches and is watched.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
node=$1/test/python_peer
work=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; fi; rm -rf "$work"' EXIT

mkfifo "$work/address"
"$node" >"$work/address" &
pid=$!
read -r address <"$work/address"
export PYTHONPATH=$root/examples/python
timeout 60 /usr/bin/python3 "$root/test/bridges/python_hello.py" "$address" | tee "$work/said"
grep -qx 'the greeter has counted 1000' "$work/said"
grep -qx 'the greeter has ended: reason -16, None' "$work/said"
timeout 60 /usr/bin/python3 "$root/test/bridges/python_told.py"
status=0
wait "$pid" || status=$?
pid=
[ "$status" -eq 0 ]
echo "both nodes ended as they should"
