#!/usr/bin/env bash
# overload.sh [PROGRAM]: draws docs/overload.svg from what examples/overload measures. Installs gnuplot if it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:-build/release/examples/overload}
[ -x "$program" ] || { echo "overload.sh: no $program: cmake --preset release && cmake --build build/release" >&2; exit 1; }
if ! command -v gnuplot >/dev/null; then
    sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gnuplot-nox >/dev/null
fi
data=$(mktemp)
trap 'rm -f "$data"' EXIT
"$program" csv >"$data"
gnuplot <<GNUPLOT
set terminal svg size 900,420 font "sans,12" background rgb "white"
set output "docs/overload.svg"
set datafile separator ","
set xlabel "milliseconds"
set ylabel "messages that wait for the receiver"
set yrange [0:*]
set grid y
set key top right
plot "$data" using 1:4 skip 1 with lines lw 2 lc rgb "#d98a3d" title "without muting", \
     "" using 1:2 skip 1 with lines lw 2 lc rgb "#2a6fb0" title "with muting"
GNUPLOT
echo docs/overload.svg
