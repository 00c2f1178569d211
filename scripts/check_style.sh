#!/usr/bin/env bash
# Format, function and file lengths, and layering: a lower layer never includes a higher one.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t sources < <(git ls-files --cached --others --exclude-standard '*.c' '*.h')
clang-format --dry-run -Werror "${sources[@]}"

wc -l "${sources[@]}" | awk '$2 != "total" && $1 > 600 {print $2 ": " $1 " lines, over 600"; bad = 1} END {exit bad}'

# A function runs from a line in column 0 before "{" in column 0 to the "}" in column 0.
awk 'FNR == 1 {start = 0}
     /^\{/ {start = FNR}
     /^\}/ && start {n = FNR - start; all++; if (n > 45) long++; if (n > 120) {print FILENAME ":" start ": " n " lines, over 120"; bad = 1} start = 0}
     END {if (long * 10 > all) {print long " of " all " functions are over 45 lines"; bad = 1} exit bad}' "${sources[@]}"

if grep -nE '#include .*(zmq|runtime/|bridges/|testkit/)' nameservice/*.[ch] nameservice/etcd/*.[ch] tools/*.[ch] || grep -nE '#include .*(zmq|bridges/|channels/|nameservice/|testkit/)' runtime/*.[ch] || grep -nE '#include <(ck_|zmq|msgpack)' include/soma/*.h; then
    echo "a lower layer includes a higher one, or a public header shows a dependency"
    exit 1
fi
echo "style: ${#sources[@]} files are fine"
