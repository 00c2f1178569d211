#!/usr/bin/env bash
# Installs, builds (release) and shows Soma at work: words counted in real files, by one process and by three, a bank
# whose total never changes, a million agents; at last three nodes and a name server, started in any order, that find
# each other by name and count words together.
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
        counted=$folder
    fi
done
echo "demo: 100,000 accounts under random transfers"
build/release/examples/bank
echo "demo: 1,000,000 agents, a message each"
build/release/bench/soma_bench demo

work=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; rm -rf "$work"' EXIT
PATH=$PWD/build/release/tools:$PWD/build/release/examples:$PATH
export SOMA_NAMESERVICE=ipc://$work/names
mapfile -t order < <(shuf -e nameserver one two three count)
echo "demo: a name server, the nodes one, two and three, and who has them count words: started as ${order[*]}"
for each in "${order[@]}"; do
    case $each in
    nameserver) timeout 300 soma nameserver --bind="$SOMA_NAMESERVICE" >"$work/log.$each" 2>&1 & ;;
    count) timeout 300 wordcount --top 10 --on one,two,three "$counted" >"$work/words" 2>"$work/log.$each" & ;;
    *) timeout 300 wordcount --serve "$each" >"$work/log.$each" 2>&1 & ;;
    esac
    pids+=($!)
    [ "$each" != count ] || count=$!
done
for each in one two three; do
    soma wait "$each/reader" --timeout=60
done
echo "demo: soma ls"
soma ls
echo "demo: soma top, twice, while they count"
soma top --count=2
wait "$count" || { cat "$work"/log.*; exit 1; }
diff build/words "$work/words"
echo "demo: the same words"
soma nodes
echo "demo: soma shutdown --all --server"
soma shutdown --all --server
for pid in "${pids[@]}"; do
    wait "$pid" || { cat "$work"/log.*; exit 1; }
done
pids=()
echo "demo: all of them have ended"
