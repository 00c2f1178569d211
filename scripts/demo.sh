#!/usr/bin/env bash
# Installs, builds (release) and shows Soma at work: a bank whose total never changes, and a million agents.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/bootstrap.sh
echo "demo: building"
cmake --preset release >/dev/null
cmake --build --preset release
echo "demo: hello"
build/release/examples/hello
echo "demo: 100,000 accounts under random transfers"
build/release/examples/bank
echo "demo: 1,000,000 agents, a message each"
build/release/bench/soma_bench demo
