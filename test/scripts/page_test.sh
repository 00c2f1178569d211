#!/usr/bin/env bash
# A page of the docs does what it says, command by command: page_test.sh PAGE BUILD. Its ports are written there, so it gets
# a network of its own where that is allowed.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
play=("$root/test/scripts/terminals.py" "$root/docs/$1.md" "$2")
if unshare --net true 2>/dev/null; then
    exec unshare --net sh -c 'ip link set lo up && exec "$@"' sh "${play[@]}"
fi
exec "${play[@]}"
