#!/usr/bin/env bash
# erlang_remote.sh WORKLOAD WORKERS [OPERATIONS]: the workloads of remote delivery on Erlang's distribution, and that of
# names, between nodes on loopback, with an epmd of their own, which ends with them.
set -euo pipefail
workload=$1 workers=$2
shift 2
module=erlang_remote
[ "$workload" != names ] || module=erlang_names
export ERL_EPMD_PORT=$((20000 + $$ % 10000)) ERL_EPMD_ADDRESS=127.0.0.1
HOME=$(mktemp -d) # for the cookie's file
export HOME
trap 'epmd -kill >/dev/null || true; rm -rf "$HOME"' EXIT
epmd -daemon -relaxed_command_check # or it would not end while the last node does
erl -name hub@127.0.0.1 -setcookie bench -kernel inet_dist_use_interface '{127,0,0,1}' +S "$workers:$workers" -noshell \
    -pa build/peers -run "$module" main "$workload" "$@"
