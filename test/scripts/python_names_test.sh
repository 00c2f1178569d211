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
export PYTHONPATH=$root/examples/python SOMA_NAMESERVICE=ipc://$work/names SOMA_LOG_LEVEL=error

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
    says "soma: 'int' object has no attribute 'upper'" call python shout 5
    says HELLO call python shout '"hello"' # it has lived on
    "$soma" info python | grep -q '^  shout  *gives a text in capitals'
    until grep -qx 'c has 5 litres' "$work/python"; do sleep 0.05; done
    says 5 get c litres
    shouts=4
    if [ "$order" = "server c python" ]; then
        shouts=5
        kill -9 "${started[server]}"
        wait "${started[server]}" 2>/dev/null || true
        start server
        says "" wait python
        says AGAIN call python shout '"again"'
    fi
    says "soma: 'python' has no method 'whisper'" call python whisper
    says "" set python marks 2
    says "LOUD!!" call python shout '"loud"'
    says 2 get python marks
    says '{"marks":2,"shouts":'"$shouts"'}' get python --json
    says "soma: attribute 'shouts' is only read" set python shouts 0
    says "soma: attribute 'marks' is of type int" set python marks '"many"'
    says "soma: 'python' has no attribute 'colour'" get python colour
    says "soma: 'python' has no attribute 'colour'" set python colour 1
    "$soma" info python | grep -q '^  marks  *value  *2  *$'
    "$soma" info python | grep -q '^  shouts  *value  *read '
    timeout 60 /usr/bin/python3 "$root/test/nameservice/python_proxy.py" "$SOMA_NAMESERVICE" c python
    says "" shutdown --all --server
    for each in $order; do wait "${started[$each]}" || { cat "$work/$each"; exit 1; }; done
    echo "they find each other, started as: $order"
done
