#!/usr/bin/env bash
# The hello of two nodes, one in C and one in Python, whoever calls; and what the one in Python says of mistakes.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
c=$1/examples/remote_hello
python=$root/examples/python/hello.py
work=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; fi; rm -rf "$work"' EXIT
mkfifo "$work/address"

# greets SAID SERVER… -- CALLER…: the caller prints that, and both end well.
greets() {
    local said=$1 server=() address
    shift
    while [ "$1" != -- ]; do
        server+=("$1")
        shift
    done
    shift
    "${server[@]}" serve 'tcp://127.0.0.1:*' >"$work/address" &
    pid=$!
    read -r address <"$work/address"
    timeout 60 "$@" call "$address" | tee "$work/said"
    grep -qx "$said" "$work/said"
    wait "$pid"
    pid=
}

# says TEXT ARGUMENT…: the node in Python fails, with that among its words.
says() {
    local text=$1
    shift
    if timeout 60 /usr/bin/python3 "$python" "$@" >/dev/null 2>"$work/err"; then
        echo "hello.py $* did not fail"
        exit 1
    fi
    grep -q -- "$text" "$work/err" || { cat "$work/err"; exit 1; }
}

greets 'Hello, Python, from C!' "$c" -- /usr/bin/python3 "$python"
greets 'Hello, C, from Python!' /usr/bin/python3 "$python" -- "$c"
says "'7000' is not tcp://HOST:PORT" call 7000
says "'tcp://127.0.0.1:70000' is not tcp://HOST:PORT" call tcp://127.0.0.1:70000
says "'tcp://127.0.0.1:x' is not tcp://HOST:PORT" serve tcp://127.0.0.1:x
says "'soon' is not a whole number of seconds" call tcp://127.0.0.1:1 --timeout soon
says 'nobody answers at tcp://127.0.0.1:1 within 1 s' call tcp://127.0.0.1:1 --timeout 1
says 'arguments are required' call
echo "both greet each other"
