#!/usr/bin/env bash
# The word count equals what tr, sort and uniq give under the same definition of a word, on real and on nasty files, with
# one process, with three, and with nodes that are found by name.
set -euo pipefail
export LC_ALL=C
wordcount=$1/examples/wordcount
soma=$1/tools/soma
work=$(mktemp -d)
pids=()
trap 'for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done; rm -rf "$work" "$work".*' EXIT

expected() {
    # shellcheck disable=SC2018,SC2019 # the letters are A-Z, by definition
    find -P "$@" -type f -exec sh -c 'for f; do cat "$f"; echo; done' sh {} + | tr -cs 'A-Za-z' '\n' | tr 'A-Z' 'a-z' |
        grep -v '^$' | sort | uniq -c | sort -k1,1nr -k2,2
}

compare() {
    expected "$@" >"$work.theirs"
    for nodes in 1 3; do
        "$wordcount" --top 0 --nodes "$nodes" "$@" >"$work.ours" 2>"$work.log"
        cmp "$work.ours" "$work.theirs"
        grep -q ', in [0-9]* files$' "$work.log"
        echo "equal on $*, with $nodes processes"
    done
    rm -f "$work.ours" "$work.theirs" "$work.log"
}

mkdir "$work/nasty"
: >"$work/nasty/empty"
printf 'one' >"$work/nasty/no newline"
printf 'caf\xc3\xa9 \xff\xfe\x00nul na\xefve\n' >"$work/nasty/bytes"
head -c 700000 /dev/zero | tr '\0' 'a' >"$work/nasty/one long word"
head -c 262144 /dev/zero | tr '\0' 'b' >"$work/nasty/a word as long as a chunk"
{ head -c 262143 /dev/zero | tr '\0' ' '; echo 'across the edge'; } >"$work/nasty/word across the edge"
{ head -c 262144 /dev/zero | tr '\0' ' '; echo 'at the edge'; } >"$work/nasty/word at the edge"
{ head -c 262141 /dev/zero | tr '\0' ' '; echo 'end of chunk'; } >"$work/nasty/word up to the edge"
seq 1 20000 | sha256sum | head -c 64 >"$work/nasty/few"
seq 1 60000 | tr '0-9' 'a-j' >"$work/nasty/many different words"
compare "$work/nasty"
if [ -d /usr/share/common-licenses ]; then
    compare /usr/share/common-licenses
fi
# Seconds of sorting, so once will do: not where a sanitizer looks at the same code.
if [ -d /usr/share/doc ] && ! grep -q fsanitize "$1/CMakeCache.txt"; then
    compare /usr/share/doc
fi

# Nodes that are found by name: serve NAME…, and the name server, in the order of the arguments.
serve() {
    local each
    rm -f "$work.names"
    pids=()
    for each; do
        case $each in
        nameserver) "$soma" nameserver --bind="$SOMA_NAMESERVICE" >"$work.log.$each" 2>&1 & ;;
        count) "$wordcount" --top 0 --on one,two,three "$work/nasty" >"$work.ours" 2>"$work.log.$each" & ;;
        *) "$wordcount" --serve "$each" >"$work.log.$each" 2>&1 & ;;
        esac
        pids+=($!)
        [ "$each" != count ] || count=$!
    done
}

export SOMA_NAMESERVICE=ipc://$work.names
expected "$work/nasty" >"$work.theirs"
for order in "nameserver one two three count" "count three one two nameserver" "two count nameserver one three"; do
    # shellcheck disable=SC2086 # words
    serve $order
    wait "$count"
    cmp "$work.ours" "$work.theirs"
    "$soma" shutdown --all --server --timeout=60
    for pid in "${pids[@]}"; do
        [ "$pid" = "$count" ] || wait "$pid"
    done
    echo "equal by nodes that are found by name, started as: $order"
done
for nodes in 1 3; do
    if "$wordcount" --nodes "$nodes" /proc/self/mem >/dev/null 2>"$work/log"; then
        echo "an unreadable file went unnoticed"
        exit 1
    fi
    grep -q "/proc/self/mem: Input/output error" "$work/log"
    if "$wordcount" --nodes "$nodes" "$work/nasty" "$work/missing" >/dev/null 2>"$work/log"; then
        echo "a missing file went unnoticed"
        exit 1
    fi
    grep -q "missing: No such file" "$work/log"
done
echo "unreadable and missing files are reported"

# More than can be read in time, so that it is not done when one process is gone.
truncate -s 1T "$work/endless"
"$wordcount" --nodes 3 "$work/endless" >"$work/out" 2>"$work/log" &
first=$!
others=()
while [ ${#others[@]} -lt 2 ]; do
    sleep 0.1
    read -r -a others <"/proc/$first/task/$first/children" || true # has no newline
done
kill -KILL "${others[0]}"
if wait "$first" || [ -s "$work/out" ]; then
    echo "a process that is gone went unnoticed"
    exit 1
fi
while kill -0 "${others[1]}" 2>/dev/null; do
    sleep 0.1
done
echo "a process that is gone is reported, and the others end"
