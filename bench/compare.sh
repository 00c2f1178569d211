#!/usr/bin/env bash
# compare.sh [WORKLOAD…] [--json FILE]: Soma beside its floor, CAF, Erlang/OTP and libzmq (Debian's packages), in one
# run.
# Installs and builds what is needed. SOMA_BENCH_ROUNDS sets the rounds (5). Prints a table; see docs/performance.md.
set -euo pipefail
cd "$(dirname "$0")/.."

sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)
packages=(libcaf-dev erlang-base g++ python3 python3-pyro4)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "== installing ${missing[*]}" >&2
    "${sudo[@]}" apt-get update -q >&2
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
fi

scripts/bootstrap.sh >&2
cmake --preset release >/dev/null
cmake --build --preset release --target soma_bench zmq_bench >&2
mkdir -p build/peers
for peer in caf_bench caf_remote; do
    if [ "bench/peers/caf/$peer.cpp" -nt "build/peers/$peer" ]; then
        echo "== building the CAF peer $peer" >&2
        g++ -std=c++20 -O2 -DNDEBUG "bench/peers/caf/$peer.cpp" -o "build/peers/$peer" -lcaf_io -lcaf_core -lpthread
    fi
done
erlc -o build/peers bench/peers/erlang/*.erl
exec python3 bench/compare.py "$@"
