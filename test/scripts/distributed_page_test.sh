#!/usr/bin/env bash
# docs/distributed.md does what it says, command by command. Its ports are written there, so it gets a network of its own
# where that is allowed.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
play=("$root/test/scripts/terminals.py" "$root/docs/distributed.md" "$1")
if unshare --net true 2>/dev/null; then
    exec unshare --net sh -c 'ip link set lo up && exec "$@"' sh "${play[@]}"
fi
exec "${play[@]}"
