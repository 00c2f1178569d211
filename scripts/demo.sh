#!/usr/bin/env bash
# Installs, builds (release) and shows Soma at work: words counted in real files, by one process and by three, a bank
# whose total never changes, and a million agents.
set -euo pipefail
cd "$(dirname "$0")/.."
TIMEFORMAT="%1R s"

scripts/bootstrap.sh
echo "demo: building"
cmake --preset release >/dev/null
cmake --build --preset release
echo "demo: hello"
build/release/examples/hello
for folder in /usr/share/common-licenses /usr/share/doc; do
    if [ -d "$folder" ]; then
        echo "demo: the words of $folder, counted in one process"
        time build/release/examples/wordcount --top 10 "$folder" | tee build/words
        echo "demo: the same in three processes, joined by bridges"
        time build/release/examples/wordcount --top 10 --nodes 3 "$folder" | diff build/words -
        echo "demo: the same words"
    fi
done
echo "demo: 100,000 accounts under random transfers"
build/release/examples/bank
echo "demo: 1,000,000 agents, a message each"
build/release/bench/soma_bench demo
