#!/usr/bin/python3
"""The workload `names` on Pyro4's name server, which osBrain's is a subclass of: pyro_names.py [OPERATIONS].

The server runs in a process of its own, and this one registers, looks up and lists over TCP on loopback. A proxy has
one call under way at a time.
"""

import json
import os
import socket
import subprocess
import sys
import time

import Pyro4


def memory(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def say(workload, ops, seconds, **extra):
    line = {"workload": workload, "impl": "pyro4", "version": Pyro4.__version__, "workers": 1, "ops": ops,
            "seconds": round(seconds, 6), "ops_per_s": round(ops / seconds), **extra}
    print(json.dumps(line), flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def measure(server, port, ops):
    for _ in range(200):
        try:
            names = Pyro4.locateNS("127.0.0.1", port, broadcast=False)
            break
        except Pyro4.errors.NamingError:
            time.sleep(0.05)
    all_names = [f"bench/{i:07}" for i in range(ops)]
    uris = [f"PYRO:bearer{i}@127.0.0.1:7000" for i in range(ops)]
    before, begun = memory(server.pid), time.monotonic()
    for name, uri in zip(all_names, uris):
        names.register(name, uri, safe=True)
    say("names_register", ops, time.monotonic() - begun, name_bytes_server=(memory(server.pid) - before) / ops)
    begun = time.monotonic()
    for name, uri in zip(all_names, uris):
        assert str(names.lookup(name)) == uri
    say("names_lookup", ops, time.monotonic() - begun)
    begun = time.monotonic()
    assert len(names.list(prefix="bench/")) == ops
    say("names_list", ops, time.monotonic() - begun)


def main():
    port = free_port()
    command = [sys.executable, "-m", "Pyro4.naming", "-n", "127.0.0.1", "-p", str(port), "-x"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            measure(server, port, int(sys.argv[1]) if len(sys.argv) > 1 else 10000)
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
