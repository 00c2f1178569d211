#!/usr/bin/env bash
# An agent whose channels are used by a plain ZeroMQ program in Python; and how that one sees what it does wrong.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkfifo "$work/in" "$work/addresses"

"$1/examples/plain_peer" <"$work/in" >"$work/addresses" &
exec 3>"$work/in"
read -r desk sums <"$work/addresses"
timeout 60 /usr/bin/python3 "$root/examples/python/plain_peer.py" "$desk" "$sums" | tee "$work/said"
exec 3>&-
wait $!
diff "$work/said" - <<'SAID'
asked: 6 21
heard of even: 2
nonsense fails
SAID
