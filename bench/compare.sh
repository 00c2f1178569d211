#!/usr/bin/env bash
# compare.sh [WORKLOAD…] [--json FILE]: Soma beside its floor, CAF and Erlang/OTP (Debian's packages), in one run.
# Installs and builds what is needed. SOMA_BENCH_ROUNDS sets the rounds (5). Prints a table; see docs/performance.md.
set -euo pipefail
cd "$(dirname "$0")/.."

sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)
packages=(libcaf-dev erlang-base g++ python3)
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
cmake --build --preset release --target soma_bench >&2
mkdir -p build/peers
if [ bench/peers/caf/caf_bench.cpp -nt build/peers/caf_bench ]; then
    echo "== building the CAF peer" >&2
    g++ -std=c++20 -O2 -DNDEBUG bench/peers/caf/caf_bench.cpp -o build/peers/caf_bench -lcaf_core -lpthread
fi
erlc -o build/peers bench/peers/erlang/erlang_bench.erl
exec python3 bench/compare.py "$@"
