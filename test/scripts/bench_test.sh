#!/usr/bin/env bash
# Every workload of soma_bench, and of bare libzmq beside it, runs and prints JSON lines with what compare.py reads.
# Small loads: no figure is judged.
set -euo pipefail
bench=$1/bench/soma_bench
out=$(mktemp)
trap 'rm -f "$out" "$out.channels" "$out.names"' EXIT
for workload in ring pingpong fanin spawn churn timers overload monitor down restart tree simulate; do
    "$bench" "$workload" --ops 10000 --json >>"$out"
done
for workload in remote_throughput remote_throughput_1k remote_fanin remote_latency; do
    "$bench" "$workload" --ops 1000 --json >>"$out"
    "$bench" "$workload" --workers 1 --ops 1000 --curve --json >>"$out"
done
{
    "$bench" remote_throughput_1k --ops 1000 --compress --json
    "$bench" open --ops 10 --json
    "$bench" floor --ops 100000 --json
} >>"$out"
"$bench" channels --ops 1000 --json >"$out.channels"
[ "$(grep -c '"impl":"soma"' "$out.channels")" -eq 12 ] && [ "$(grep -c '"impl":"zmq"' "$out.channels")" -eq 12 ]
names=1000
[[ $1 != *release ]] || names=100000 # as many as are promised; elsewhere it would take a minute
"$bench" names --ops "$names" --json >"$out.names"
python3 - "$out.names" <<'PYTHON'
import json
import sys

lines = {line["workload"]: line for line in map(json.loads, open(sys.argv[1], encoding="utf-8"))}
assert sorted(lines) == ["names_back", "names_cached", "names_list", "names_lookup", "names_register", "names_watch"], lines
assert all(line["ops_per_s"] > 0 for line in lines.values()), lines
assert lines["names_register"]["name_bytes_server"] > 0 and lines["names_register"]["name_bytes_client"] > 0, lines
PYTHON
for workload in remote_throughput remote_throughput_1k remote_fanin remote_latency; do
    "$1/bench/zmq_bench" "$workload" --ops 1000 >>"$out"
    "$1/bench/zmq_bench" "$workload" --ops 1000 --curve >>"$out"
done
python3 - "$out" <<'PYTHON'
import json
import sys

lines = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
assert [line["impl"] for line in lines] == 22 * ["soma"] + 3 * ["floor"] + 8 * ["zmq"]
for line in lines:
    for key in ("workload", "version"):
        assert isinstance(line[key], str), line
    for key in ("workers", "ops", "seconds", "ops_per_s"):
        assert line[key] > 0, line
    assert line["impl"] == "zmq" or line["peak_rss_bytes"] > 0, line
assert [line for line in lines if line["workload"] == "spawn"][0]["rss_bytes_per_agent"] > 0
overload = [line for line in lines if line["workload"] == "overload"][0]
assert overload["ops_per_s_limit"] > 0 and overload["of_limit"] > 0, overload
for line in lines:
    if line["workload"] == "remote_latency":
        assert 0 < line["p50_us"] <= line["p99_us"] <= line["p999_us"], line
PYTHON
if "$bench" nonsense >/dev/null 2>&1; then
    echo "an unknown workload must be an error"
    exit 1
fi
