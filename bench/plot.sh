#!/usr/bin/env bash
# plot.sh RESULTS.json OUT.svg: the figures of compare.sh --json as a picture. Needs gnuplot (gnuplot-nox) and python3.
set -euo pipefail
[ $# = 2 ] || { echo "usage: plot.sh RESULTS.json OUT.svg" >&2; exit 2; }
command -v gnuplot >/dev/null || { echo "plot.sh: gnuplot is not installed (Debian: gnuplot-nox)" >&2; exit 1; }
data=$(mktemp)
trap 'rm -f "$data"' EXIT
python3 - "$1" >"$data" <<'PYTHON'
import json
import sys

lines = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
rates = {(line["workload"], line["workers"], line["impl"]): line["ops_per_s"] / 1e6 for line in lines}
for workload, workers in dict.fromkeys((line["workload"], line["workers"]) for line in lines):
    cells = [rates.get((workload, workers, impl), "?") for impl in ("floor", "zmq", "soma", "caf", "erlang")]
    print(f'"{workload} ({workers})"', *cells)
PYTHON
gnuplot <<GNUPLOT
set terminal svg size 900,420 font "sans,12"
set output "$2"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.8 border -1
set logscale y
set ylabel "million operations a second"
set grid y
set datafile missing "?"
set key top right
plot "$data" using 2:xtic(1) title "floor" lc rgb "#bbbbbb", "" using 3 title "libzmq" lc rgb "#777777", \
     "" using 4 title "Soma" lc rgb "#2a6fb0", "" using 5 title "CAF" lc rgb "#d98a3d", "" using 6 title "Erlang/OTP" lc rgb "#a33a5a"
GNUPLOT
echo "$2"
