#!/usr/bin/env python3
"""Runs the workloads of soma_bench, its floor, CAF, Erlang/OTP and bare libzmq in turn, and compares their medians.

Called by compare.sh, which builds them all. Every round runs each of them once, one after the other, so that what
disturbs the machine disturbs all alike. Only ratios of one run mean anything.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

SOMA = "build/release/bench/soma_bench"
ZMQ = "build/release/bench/zmq_bench"
CAF = "build/peers/caf_bench"
CAF_REMOTE = "build/peers/caf_remote"
ERLANG_REMOTE = "bench/peers/erlang/erlang_remote.sh"
PYRO_NAMES = "bench/peers/python/pyro_names.py"

NAMES = {"soma": "Soma", "floor": "floor", "zmq": "libzmq", "caf": "CAF", "erlang": "Erlang",
         "global": "global", "pg": "pg", "pyro4": "Pyro4"}

# Workload and workers. Each program's default number of operations takes it a second or a few.
CASES = [("ring", 1), ("ring", 2), ("pingpong", 1), ("pingpong", 2), ("fanin", 2), ("spawn", 2), ("churn", 2),
         ("skynet", 2), ("timers", 2), ("overload", 2), ("monitor", 1), ("down", 1), ("down", 2),
         ("restart", 1), ("restart", 2), ("tree", 1), ("tree", 2),
         ("remote_throughput", 2), ("remote_throughput_1k", 2), ("remote_throughput_curve", 2), ("remote_fanin", 2),
         ("remote_latency", 1), ("remote_latency", 2), ("names", 2)]
# What a run of `names` says a line of; Erlang's two in one run.
NAMES_LINES = ("names_register", "names_lookup", "names_cached", "names_list", "names_watch", "names_back")
WITHOUT_CAF = ("monitor", "down", "restart", "tree")

# What the project asks of itself: (workload, workers) -> peer -> least ratio of ops/s.
BARS = {
    ("ring", 1): {"floor": 0.4, "caf": 20, "erlang": 8},
    ("pingpong", 1): {"floor": 0.4, "caf": 20, "erlang": 8},
    ("fanin", 2): {"floor": 0.2, "caf": 8, "erlang": 5},
    ("skynet", 2): {"caf": 8, "erlang": 8},
    ("spawn", 2): {"caf": 10},
    ("timers", 2): {"erlang": 3},
    ("remote_throughput", 2): {"zmq": 1.5, "caf": 25, "erlang": 15},
    ("remote_throughput_1k", 2): {"zmq": 1.5},
}
LATENCY = {"p50_us": 1.3, "p99_us": 2}  # remote_latency: of bare libzmq's, at most
CURVE = 0.4  # of the same workload without keys
SECOND_WORKER = 0.8  # of the ring's and ping-pong's figure with one
BYTES_AN_AGENT = 200
OF_LIMIT = 0.9  # overload: of what the receiver could do if nobody sent
OVERLOAD_BYTES = 64_000_000  # overload: memory at most
MEMORY = ("fanin", "timers", "overload", "monitor", "tree")


def is_remote(workload):
    return workload.startswith("remote_")


def impls_of(workload):
    if workload == "names":
        return ["soma", "erlang", "pyro4"]
    if workload.endswith("_curve"):
        return ["soma", "zmq"]
    if is_remote(workload):
        return ["soma", "zmq", "caf", "erlang"]
    return ["soma", "erlang"] if workload in WITHOUT_CAF else ["soma", "caf", "erlang"]


def command_remote(impl, workload, workers):
    plain = workload.removesuffix("_curve")
    curve = ["--curve"] if plain != workload else []
    if impl == "zmq":
        return [ZMQ, plain] + curve
    if impl == "erlang":
        return [ERLANG_REMOTE, plain, str(workers)]
    program = [SOMA, "--json"] if impl == "soma" else [CAF_REMOTE]
    return program[:1] + [plain, "--workers", str(workers)] + program[1:] + curve


def command(impl, workload, workers):
    if impl == "pyro4":
        return [PYRO_NAMES]
    if impl == "erlang" and workload == "names":
        return [ERLANG_REMOTE, workload, str(workers)]
    if is_remote(workload):
        return command_remote(impl, workload, workers)
    if impl == "erlang":
        scheduler = ["erl", "+S", f"{workers}:{workers}", "+P", "4000000", "-noshell", "-pa", "build/peers"]
        return scheduler + ["-run", "erlang_bench", "main", workload]
    program = SOMA if impl == "soma" else CAF
    return [program, workload, "--workers", str(workers)] + (["--json"] if impl == "soma" else [])


def run(arguments):
    """The JSON lines that a program prints; none if it fails or takes over two minutes."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        print(f"failed: {' '.join(arguments)}: {error}", file=sys.stderr)
        return []
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def progress(text):
    """One line that changes, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r{text:60}", end="" if text else "\r", file=sys.stderr, flush=True)


def measure(cases, rounds):
    """(workload, workers, impl) -> the results of its runs."""
    results = {}
    for number in range(1, rounds + 1):
        floor = not all(is_remote(workload) for workload, _ in cases)
        for result in run([SOMA, "floor", "--json"]) if floor else []:
            results.setdefault((result["workload"], result["workers"], "floor"), []).append(result)
        for workload, workers in cases:
            for impl in impls_of(workload):
                progress(f"round {number}/{rounds}: {workload} on {impl} ({workers})")
                for result in run(command(impl, workload, workers)):
                    key = (result["workload"], workers, result["impl"]) if workload == "names" else \
                        (workload, workers, impl)
                    results.setdefault(key, []).append(result)
    progress("")
    return results


def summary(key, runs):
    rates = sorted(run["ops_per_s"] for run in runs)
    line = {"workload": key[0], "impl": key[2], "version": runs[0]["version"], "workers": key[1],
            "ops_per_s": round(statistics.median(rates)), "min": round(rates[0]), "max": round(rates[-1])}
    for name, digits in (("rss_bytes_per_agent", 1), ("peak_rss_bytes", 1), ("ops_per_s_limit", 0), ("of_limit", 4),
                         ("p50_us", 2), ("p99_us", 2), ("p999_us", 2), ("name_bytes_server", 0), ("name_bytes_client", 0)):
        values = [run[name] for run in runs if name in run]
        if values:
            line[name] = round(statistics.median(values), digits)
    return line


def rate_text(line):
    if not line:
        return "–"
    if line["workload"] in NAMES_LINES:
        return f"{line['ops_per_s'] / 1e3:.1f} ({line['min'] / 1e3:.1f}–{line['max'] / 1e3:.1f})"
    if "p50_us" in line:
        return f"{line['p50_us']:.1f} / {line['p99_us']:.1f} / {line['p999_us']:.1f}"
    return f"{line['ops_per_s'] / 1e6:.2f} ({line['min'] / 1e6:.2f}–{line['max'] / 1e6:.2f})"


def checks_remote(lines, workload, workers, ours):
    """What is asked of latency, and of delivery with keys."""
    found = []
    limit, plain = (lines.get((name, workers, impl)) for name, impl in
                    ((workload, "zmq"), (workload.removesuffix("_curve"), "soma")))
    if workload == "remote_latency" and limit:
        for key, most in LATENCY.items():
            ratio = ours[key] / limit[key]
            found.append((f"{key.removesuffix('_us')} ≤ {most} × zmq: {ratio:.2f}", ratio <= most))
    if workload.endswith("_curve") and plain:
        ratio = ours["ops_per_s"] / plain["ops_per_s"]
        found.append((f"≥ {CURVE} × without keys: {ratio:.2f}", ratio >= CURVE))
    return found


def checks(lines, workload, workers):
    """What is asked of a case, as (text, is it met)."""
    ours = lines.get((workload, workers, "soma"))
    if not ours:
        return [("did not run", False)]
    found = []
    for peer, least in BARS.get((workload, workers), {}).items():
        theirs = lines.get((workload, workers, peer))
        if theirs:
            ratio = ours["ops_per_s"] / theirs["ops_per_s"]
            found.append((f"≥ {least} × {peer}: {ratio:.2f}", ratio >= least))
    one = lines.get((workload, 1, "soma"))
    if workers == 2 and one and workload in ("ring", "pingpong"):
        ratio = ours["ops_per_s"] / one["ops_per_s"]
        found.append((f"≥ {SECOND_WORKER} × one worker: {ratio:.2f}", ratio >= SECOND_WORKER))
    found += checks_remote(lines, workload, workers, ours)
    if workload == "spawn":
        size = ours["rss_bytes_per_agent"]
        found.append((f"≤ {BYTES_AN_AGENT} bytes an agent: {size:.0f}", size <= BYTES_AN_AGENT))
    if workload == "overload":
        part, size = ours["of_limit"], ours["peak_rss_bytes"]
        found.append((f"≥ {OF_LIMIT} × the receiver's limit: {part:.3f}", part >= OF_LIMIT))
        found.append((f"< {OVERLOAD_BYTES / 1e6:.0f} MB: {size / 1e6:.1f}", size < OVERLOAD_BYTES))
    return found


def table(lines, cases, unit, impls):
    """Of those cases; none if there are none."""
    if not cases:
        return
    heads = [f"{NAMES[impl]}, {unit}" if impl == "soma" else NAMES[impl] for impl in impls]
    print(f"| workload | workers | {' | '.join(heads)} | asked: got |")
    print(f"| --- | --- | {' | '.join('---' for _ in impls)} | --- |")
    for workload, workers in cases:
        cells = [rate_text(lines.get((workload, workers, impl))) for impl in impls]
        asked = [f"{text} {'✓' if met else '✗ missed'}" for text, met in checks(lines, workload, workers)]
        print(f"| {workload} | {workers} | {' | '.join(cells)} | {'; '.join(asked)} |")
    print()


def tables(lines, cases):
    remote = [case for case in cases if is_remote(case[0])]
    latency = [case for case in remote if case[0] == "remote_latency"]
    names = [case for case in cases if case[0] in NAMES_LINES]
    table(lines, [case for case in cases if case not in remote + names], "M/s", ("soma", "floor", "caf", "erlang"))
    table(lines, [case for case in remote if case not in latency], "M/s", ("soma", "zmq", "caf", "erlang"))
    table(lines, latency, "µs: p50 / p99 / p99.9", ("soma", "zmq", "caf", "erlang"))
    table(lines, names, "thousand/s", ("soma", "global", "pg", "pyro4"))


def each(lines, case, key, scale, unit):
    """What a case says of `key`, by each that ran it."""
    found = [(NAMES[impl], lines.get((*case, impl), {})) for impl in NAMES]
    return ", ".join(f"{name} {line[key] / scale:.{1 if unit else 3}f}{unit}" for name, line in found if key in line)


def notes(lines, cases):
    """What they took at most, where that says something, and what overload left of the receiver's limit."""
    for case in cases:
        size, part = each(lines, case, "peak_rss_bytes", 1e6, " MB"), each(lines, case, "of_limit", 1, "")
        if size and case[0] in MEMORY:
            print(f"Memory at most in `{case[0]}`: {size}.\n")
        if part:
            print(f"Of the receiver's own limit in `{case[0]}`: {part}.\n")
        for where in ("server", "client"):
            size = each(lines, case, f"name_bytes_{where}", 1, " bytes")
            if size:
                print(f"Memory a name at the {where}: {size}.\n")


def main():
    parser = argparse.ArgumentParser(description="Compares Soma with its floor, CAF, Erlang/OTP and bare libzmq.")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="ring, pingpong, …; all by default")
    parser.add_argument("--json", metavar="FILE", help="also write one JSON object a line")
    arguments = parser.parse_args()
    known = {case[0] for case in CASES}
    unknown = set(arguments.workloads) - known
    if unknown:
        parser.error(f"no such workload: {', '.join(sorted(unknown))} (there are {', '.join(sorted(known))})")
    cases = [case for case in CASES if not arguments.workloads or case[0] in arguments.workloads]
    results = measure(cases, int(os.environ.get("SOMA_BENCH_ROUNDS", "5")))
    if ("names", 2) in cases:
        cases = [case for case in cases if case[0] != "names"] + [(name, 2) for name in NAMES_LINES]
    lines = {key: summary(key, runs) for key, runs in results.items()
             if any(key[0] == case[0] for case in cases)}
    tables(lines, cases)
    notes(lines, cases)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            for line in lines.values():
                file.write(json.dumps(line) + "\n")
    return 0 if all((*case, "soma") in lines for case in cases) else 1


if __name__ == "__main__":
    sys.exit(main())
