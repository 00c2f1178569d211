#!/usr/bin/env bash
# The commands that look at nodes, where an etcd cluster is the name service, and so no server knows them all.
set -euo pipefail
soma=$1/tools/soma
tank=$1/examples/libtank.so
work=$(mktemp -d)
pids=()
pid=
trap 'for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done; rm -rf "$work"' EXIT
unset SOMA_AT
read -r client peer < <(/usr/bin/python3 -c 'import socket
both = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in both))')
export SOMA_NAMESERVICE=etcd://127.0.0.1:$client/here SOMA_LOG_LEVEL=error
etcd --data-dir="$work/etcd" --name=one --listen-client-urls="http://127.0.0.1:$client" \
    --advertise-client-urls="http://127.0.0.1:$client" --listen-peer-urls="http://127.0.0.1:$peer" \
    --initial-advertise-peer-urls="http://127.0.0.1:$peer" --initial-cluster="one=http://127.0.0.1:$peer" \
    >"$work/log" 2>&1 &
pids+=("$!")
for name in a b; do
    "$soma" run "$tank" tank --name="$name" --bind="ipc://$work/$name" --timeout=60 >"$work/$name.out" 2>&1 &
    pids+=("$!")
    "$soma" wait "$name" --timeout=60 || { cat "$work/log"; exit 1; }
done

looked() { # at all by the command in front of it: PYTHON
    /usr/bin/python3 -c "import json, sys
looks = [json.loads(line) for line in sys.stdin]
nodes = looks[-1]
assert len(nodes) == 2, nodes
state = {node['name']: node['state'] for node in nodes}
$1"
}

echo "== nodes and top"
"$soma" nodes --json --timeout=60 | looked 'assert state == {"a": "up", "b": "up"}, state
assert all(node["stats"]["agents"] and "nameserver" not in node for node in nodes), nodes'
"$soma" nodes --timeout=60 | grep -q '^[0-9a-f]\{16\} a  *up '
"$soma" top --json --count=2 --every=0.2 --timeout=60 | looked 'assert len(looks) == 2, looks
assert any(node["name"] == "a" and node["state"] == "up" for look in looks for node in look), looks'

echo "== one is silent: it does not say its name, but the other may, if it has heard of it"
silent=$("$soma" get soma.node node --at="ipc://$work/b")
kill -STOP "${pids[2]}"
"$soma" nodes --json --timeout=3 | looked "assert state.pop('a') == 'up' and state in ({'b': 'silent'}, {'$silent': 'silent'}), state"
kill -CONT "${pids[2]}"

echo "== etcd can't be reached"
status=0
"$soma" nodes --nameserver=etcd://127.0.0.1:1 --timeout=0.3 2>"$work/err" || status=$?
[ "$status" -eq 4 ]
grep -qx 'soma: no name server was reached in time at etcd://127.0.0.1:1' "$work/err"
"$soma" shutdown --all --timeout=60
echo "all of it"
