#!/usr/bin/env bash
# A program in C and one in Python find each other by name, in whatever order they and the name server are started; and
# once more after the name server was killed.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
soma=$1/tools/soma
tank=$1/examples/libtank.so
declare -A started
work=$(mktemp -d)
pids=()
pid=
trap 'for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done; rm -rf "$work"' EXIT
export SOMA_NAMESERVICE=ipc://$work/names SOMA_LOG_LEVEL=error

start() {
    case $1 in
    server) "$soma" nameserver --bind="$SOMA_NAMESERVICE" >"$work/$1" 2>&1 & ;;
    c) "$soma" run "$tank" tank --name=c --timeout=60 >"$work/$1" 2>&1 & ;;
    python) timeout 120 /usr/bin/python3 "$root/examples/python/names.py" "$SOMA_NAMESERVICE" python c >"$work/$1" 2>&1 & ;;
    esac
    pids+=($!)
    started[$1]=$!
}

# What a command prints: says WANTED ARGUMENT...
says() {
    local wanted=$1 got
    shift
    got=$("$soma" --timeout=60 "$@" 2>&1) || true
    [ "$got" = "$wanted" ] || { echo "soma $* says: $got"; cat "$work/python"; exit 1; }
}

for order in "server c python" "python c server"; do
    for each in $order; do start "$each"; done
    says "" wait python
    says HELLO call python shout '"hello"'
    says "soma: descriptor 'upper' for 'str' objects doesn't apply to a 'int' object" call python shout 5
    says HELLO call python shout '"hello"' # it has lived on
    "$soma" info python | grep -q '^  shout  *Return a copy'
    until grep -qx 'c has 5 litres' "$work/python"; do sleep 0.05; done
    says 5 get c litres
    if [ "$order" = "server c python" ]; then
        kill -9 "${started[server]}"
        wait "${started[server]}" 2>/dev/null || true
        start server
        says "" wait python
        says AGAIN call python shout '"again"'
    fi
    says "soma: there is no such thing" call python whisper
    says "" shutdown --all --server
    for each in $order; do wait "${started[$each]}" || { cat "$work/$each"; exit 1; }; done
    echo "they find each other, started as: $order"
done
