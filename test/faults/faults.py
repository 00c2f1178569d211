#!/usr/bin/env python3
"""Runs nodes (ledger.c) that send each other numbered messages, does them harm, and checks their ledgers: each message
arrived once and in order, or was reported.

Loopback: the nodes reach each other by a proxy (chaos_proxy.py). Namespaces: each has a network of its own, with a
cable to a switch; cables are pulled and plugged in again.
"""
import argparse
import contextlib
import json
import mmap
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD, FIELDS, RECORDS = 6, 9, 8192  # words; see ledger.h
SENT, GOT = 1, 2


class Record:
    def __init__(self, words, at):
        (self.side, self.key, self.node, self.last, self.count, self.wrong, self.altered, self.reported,
         self.over) = words[at:at + FIELDS]


class Ledger:
    """The file of a node, as far as it is written."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        self.words = memoryview(self.map).cast("Q")
        self.places, self.used = [], 0

    @property
    def node(self):
        return self.words[0]

    @property
    def got(self):
        return self.words[3]

    def records(self):
        if self.used != self.words[1]:
            self.used = self.words[1]
            self.places = [at for at in range(HEAD, HEAD + RECORDS * FIELDS, FIELDS) if self.words[at]]
        return [Record(self.words, at) for at in self.places]

    def got_from(self, node):
        return sum(record.count for record in self.records() if record.side == GOT and record.node == node)


class Node:
    """One place in the net; its process may be another one after a restart."""

    def __init__(self, run, name, bind, advertise, peers):
        self.run, self.name, self.bind, self.advertise, self.peers = run, name, bind, advertise, peers
        self.ledger = self.process = None
        self.lives = 0

    def compress(self):
        """Every other node does."""
        return self.run.options.compress if self.name in "aceg" else 0

    def start(self):
        self.lives += 1
        path = os.path.join(self.run.folder, f"{self.name}{self.lives}")
        options = self.run.options
        command = self.run.enter(self) + [
            options.ledger, "--file", path, "--bind", self.bind, "--advertise", self.advertise, *self.run.trust(self),
            "--rate", str(options.rate), "--size", str(options.size), "--streams", str(options.streams),
            "--down-ms", str(options.down_ms), "--beat-ms", str(options.beat_ms),
            "--seconds", str(int(options.seconds + 120)), "--compress", str(self.compress()), *self.peers]
        with open(path + ".log", "w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        wait_for(f"{self.name} to start", lambda: self.process.poll() is not None or
                 (os.path.exists(path) and os.path.getsize(path) >= RECORDS * FIELDS * 8), 20)
        self.ledger = Ledger(path)
        wait_for(f"{self.name} to open", lambda: self.ledger.node or self.process.poll() is not None, 20)
        if self.process.poll() is not None:
            raise Failure(f"{self.name} ended: see {path}.log")

    def say(self, text):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()

    def end(self):
        """An orderly end; its line of JSON."""
        try:
            return self.process.communicate(timeout=60)[0].decode().strip()
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure(f"{self.name} does not end")


class Failure(Exception):
    pass


def wait_for(what, done, seconds, nap=0.01):
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise Failure(f"waited in vain for {what}")
        time.sleep(nap)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Run:
    """What the two kinds of net have in common."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.random = random.Random(options.seed)
        self.nodes, self.dead = [], []  # dead: ledgers of those who were killed
        self.frozen = set()  # identities of those who were stopped for so long that others gave them up
        self.counts, self.returns = {}, {}
        self.keys = {}  # public ones, by name

    def enter(self, node):
        return []

    def pairs(self, node):
        """All directions of which a node is an end, and what has come there."""
        return {(one.name, other.name): other.ledger.got_from(one.ledger.node) for one in self.nodes
                for other in self.nodes if one is not other and node in (one, other)}

    def check_alive(self):
        for node in self.nodes:
            if node.process.poll() is not None:
                raise Failure(f"{node.name} ended by itself: {node.process.returncode}")

    def measure_return(self, fault, node):
        """How long until something arrives each way of a node: the longest."""
        begun, before = time.monotonic(), self.pairs(node)
        took = {}
        while len(took) < len(before):
            for pair, count in self.pairs(node).items():
                if count > before[pair] and pair not in took:
                    took[pair] = time.monotonic() - begun
            self.check_alive()
            if time.monotonic() - begun > 30:
                missing = [pair for pair in before if pair not in took]
                raise Failure(f"after {fault} of {node.name} nothing arrives between {missing}")
            time.sleep(0.005)
        self.returns.setdefault(fault, []).append(max(took.values()))

    def stop(self, node, seconds):
        node.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        node.process.send_signal(signal.SIGCONT)

    def short(self):
        """A time that is far from the one after which a node is down."""
        return self.random.uniform(0.1, min(1.5, 0.5 * self.options.down_ms / 1000))

    def fault_stop(self, node):
        self.stop(node, self.short())

    def fault_freeze(self, node):
        self.frozen.add(node.ledger.node)
        self.stop(node, self.options.down_ms / 1000 * 1.5)

    def fault_kill(self, node):
        node.process.kill()
        node.process.wait()
        self.dead.append(node.ledger)
        time.sleep(self.random.uniform(0, 0.5))
        node.start()

    def harm(self):
        faults = self.plan()
        begun = shown = time.monotonic()
        done = 0
        while time.monotonic() - begun < self.options.seconds:
            enough = done >= self.options.faults and self.messages() >= self.options.messages
            if enough and self.options.faults:
                break
            if not faults:
                faults = self.plan()
            fault = faults.pop()
            node = self.random.choice(self.nodes)
            getattr(self, "fault_" + fault)(node)
            self.measure_return(fault, node)
            self.counts[fault] = self.counts.get(fault, 0) + 1
            done += 1
            if sys.stderr.isatty() or time.monotonic() - shown > 30:
                shown = time.monotonic()
                print(f"{shown - begun:5.0f} s {done:4} faults {self.messages():10} messages, now {fault} of {node.name}",
                      end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)
            time.sleep(self.random.uniform(0, self.options.pause))
        else:
            if self.options.messages:
                raise Failure(f"only {done} faults and {self.messages()} messages in the time")

    def key(self, name):
        """The public key of who has that name, made at first, and allowed to all."""
        if name not in self.keys:
            soma = os.path.join(os.path.dirname(self.options.ledger), "..", "tools", "soma")
            made = subprocess.run([soma, "keygen", self.secret(name)], check=True, capture_output=True, text=True)
            self.keys[name] = made.stdout.strip()
            with open(os.path.join(self.folder, "allowed"), "a") as allowed:
                allowed.write(f"{self.keys[name]} {name}\n")
        return self.keys[name]

    def secret(self, name):
        return os.path.join(self.folder, f"{name}.key")

    def place(self, address, name):
        """Where others connect to who has that name."""
        return f"{address} {self.key(name)}" if self.options.keys else address

    def trust(self, node):
        """The words for its program."""
        if not self.options.keys:
            return ["--insecure"]
        return ["--secret", self.secret(node.name), "--allowed", os.path.join(self.folder, "allowed")]

    def messages(self):
        return sum(ledger.got for ledger in self.ledgers())

    def ledgers(self):
        return [node.ledger for node in self.nodes] + self.dead

    def verdict(self):
        """What is wrong with the ledgers, as they are now; and sums."""
        alive = {node.ledger.node for node in self.nodes}
        got = {record.key: record for ledger in self.ledgers() for record in ledger.records() if record.side == GOT}
        faults, sums = [], {"sent": 0, "got": 0, "reported": 0, "streams": 0, "ended": 0}
        for record in got.values():
            sums["got"] += record.count
            if record.wrong or record.altered:
                faults.append(f"stream {record.key:x}: {record.wrong} doubled or out of order, "
                              f"{record.altered} altered")
        for ledger in self.ledgers():
            for sent in ledger.records():
                if sent.side != SENT:
                    continue
                there = got.get(sent.key)
                count, last = (there.count, there.last) if there else (0, 0)
                sums["sent"] += sent.last
                sums["reported"] += sent.reported
                sums["streams"] += 1
                sums["ended"] += bool(sent.over)
                what = (f"stream {sent.key:x}: {sent.last} sent, {count} came, up to {last}, {sent.reported} reported, "
                        f"over {sent.over}")
                if sent.wrong:
                    faults.append(f"{what}: {sent.wrong} dead letters for another reason")
                if last > sent.last or sent.reported > sent.last or last - count > sent.reported:
                    faults.append(f"{what}: a gap that was not reported")
                if {ledger.node, sent.node} <= alive and sent.last - count > sent.reported:
                    faults.append(f"{what}: some are missing, and both live")
                if {ledger.node, sent.node} <= alive - self.frozen and (sent.over or sent.reported):
                    faults.append(f"{what}: given up, but no outage was long enough")
        return faults, sums

    def settle(self, seconds):
        """The verdict once nobody sends any more and all has arrived; the one at the end of the time if that is first."""
        until = time.monotonic() + seconds
        faults, sums = self.verdict()
        while time.monotonic() < until:
            time.sleep(0.2)  # who still sends would have, in this time
            before = sums
            faults, sums = self.verdict()
            if sums == before and not faults:
                break
        return faults, sums

    def run(self):
        self.prepare()
        for node in self.nodes:
            node.start()
        wait_for("all to hear of all", lambda: all(count for node in self.nodes for count in self.pairs(node).values()),
                 30)
        self.harm()
        for node in self.nodes:
            node.say("quiet\n")
        self.check_alive()
        faults, sums = self.settle(30 + self.options.down_ms / 1000)
        lines = [node.end() for node in self.nodes]
        for line in lines + [f"FAULT: {fault}" for fault in faults]:
            print(line)
        if self.options.compress:
            self.check_sizes([json.loads(line) for line in lines])
        print("sums: " + ", ".join(f"{name} {value}" for name, value in sums.items()))
        print("faults: " + ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items())))
        for name, times in sorted(self.returns.items()):
            times.sort()
            print(f"after {name}: all ways work again within {times[len(times) // 2]:.2f} s (median), "
                  f"{times[-1]:.2f} s (most)")
        if faults:
            raise Failure(f"{len(faults)} streams are wrong")

    def check_sizes(self, lines):
        """What compresses sends less than it was given; what does not, as much."""
        for way, wanted in (("compressed", True), ("as it was", False)):
            some = [line for node, line in zip(self.nodes, lines) if bool(node.compress()) == wanted]
            before, after = (sum(line[key] for line in some) for key in ("before", "after"))
            print(f"{way}: {before} bytes, of which {after} were sent")
            if not before or (after < before) != wanted:
                raise Failure(f"{way}: that can't be")

    def close(self):
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                node.process.kill()
                node.process.wait()


class Loopback(Run):
    def prepare(self):
        names = "abcdefgh"[:self.options.nodes]
        ports = free_ports(2 * len(names))
        outside = dict(zip(names, ports[len(names):]))
        ways = [f"{name}={outside[name]}:{port}" for name, port in zip(names, ports)]
        self.proxy = subprocess.Popen([sys.executable, os.path.join(HERE, "chaos_proxy.py"), *ways],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.proxy.stdout.readline()
        for name, port in zip(names, ports):
            peers = [self.place(f"tcp://127.0.0.1:{outside[other]}", other) for other in names if other != name]
            self.nodes.append(Node(self, name, f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{outside[name]}", peers))

    def way(self, node, *words):
        self.proxy.stdin.write(" ".join(map(str, (node.name, *words))) + "\n")
        self.proxy.stdin.flush()
        if self.proxy.stdout.readline() != "ok\n":
            raise Failure("the proxy is gone")

    def for_a_while(self, node, first, last):
        self.way(node, *first)
        time.sleep(self.short())
        self.way(node, *last)

    def fault_delay(self, node):
        self.for_a_while(node, ("delay", 50), ("delay", 0))

    def fault_rate(self, node):
        self.for_a_while(node, ("rate", 500_000), ("rate", 0))

    def fault_stall(self, node):
        self.for_a_while(node, ("stall",), ("go",))

    def fault_cut(self, node):
        self.way(node, "cut")

    def fault_reset(self, node):
        self.way(node, "reset")

    def fault_refuse(self, node):
        self.for_a_while(node, ("refuse",), ("accept",))

    def fault_mute(self, node):
        self.for_a_while(node, ("mute",), ("speak",))

    def fault_flip(self, node):
        self.way(node, "flip")

    def everywhere(self, *words):
        for node in self.nodes:
            self.way(node, *words)

    def fault_outage(self, node):
        """No two can reach each other: all connections are lost, and can't be made again for a while."""
        self.everywhere("refuse")
        time.sleep(self.short())
        self.everywhere("accept")

    def fault_deafness(self, node):
        """The same, but who connects gets no answer at all."""
        self.everywhere("mute")
        time.sleep(self.short())
        self.everywhere("speak")

    def fault_blackout(self, node):
        """Connections stay, but nothing passes any more."""
        self.everywhere("stall")
        time.sleep(self.short())
        self.everywhere("go")

    def plan(self):
        faults = ["delay", "rate", "stall", "cut", "reset", "refuse", "mute", "outage", "deafness", "blackout", "flip",
                  "stop", "freeze", "kill"]
        self.random.shuffle(faults)
        return [fault for fault in faults if not self.options.only or fault in self.options.only]

    def close(self):
        super().close()
        self.proxy.stdin.close()
        self.proxy.kill()
        self.proxy.wait()


class Strangers(Loopback):
    """No faults, but strangers at the door of the first node, who must go on serving its peers all the time."""

    def harm(self):
        port = self.nodes[0].bind.rsplit(":", 1)[1]
        begun, longest = time.monotonic(), 0.0
        strangers = subprocess.Popen([sys.executable, os.path.join(HERE, "strangers.py"), port,
                                      str(self.options.seconds), str(self.options.strangers)])
        while strangers.poll() is None:
            turn = time.monotonic()
            self.measure_return("strangers", self.nodes[0])
            longest = max(longest, time.monotonic() - turn)
            time.sleep(0.05)
        print(f"strangers for {time.monotonic() - begun:.1f} s: the peers waited for each other {longest:.2f} s at most")
        if strangers.returncode:
            raise Failure("the strangers failed")


def ip(*words):
    subprocess.run(["ip", *words], check=True, stdout=subprocess.DEVNULL)


class Namespaces(Run):
    """Each node has a network of its own: soma-PID-NAME, joined by a switch in this one's."""

    def __init__(self, options, folder):
        super().__init__(options, folder)
        self.prefix = f"sm{os.getpid() % 100000}"
        self.hub = self.prefix + "-hub"

    def prepare(self):
        names = "abcdefgh"[:self.options.nodes]
        address = {name: f"tcp://10.213.7.{at + 1}:7000" for at, name in enumerate(names)}
        ip("netns", "add", self.hub)
        ip("-n", self.hub, "link", "add", "switch", "type", "bridge")
        ip("-n", self.hub, "link", "set", "switch", "up")
        for at, name in enumerate(names):
            space = f"{self.prefix}-{name}"
            ip("netns", "add", space)
            ip("-n", self.hub, "link", "add", "name", name, "type", "veth", "peer", "name", "cable", "netns", space)
            ip("-n", self.hub, "link", "set", "dev", name, "master", "switch", "up")
            ip("-n", space, "address", "add", f"10.213.7.{at + 1}/24", "dev", "cable")
            ip("-n", space, "link", "set", "cable", "up")
            ip("-n", space, "link", "set", "lo", "up")
            self.nodes.append(Node(self, name, address[name], address[name],
                                   [self.place(address[other], other) for other in names if other != name]))

    def enter(self, node):
        return ["ip", "netns", "exec", f"{self.prefix}-{node.name}"]

    def fault_pull(self, node):
        """At the switch: the node does not see it."""
        ip("-n", self.hub, "link", "set", "dev", node.name, "down")
        time.sleep(self.short())
        ip("-n", self.hub, "link", "set", "dev", node.name, "up")

    def fault_unplug(self, node):
        """At the node, which sees it."""
        ip("-n", f"{self.prefix}-{node.name}", "link", "set", "cable", "down")
        time.sleep(self.short())
        ip("-n", f"{self.prefix}-{node.name}", "link", "set", "cable", "up")

    def fault_flap(self, node):
        """Down and up every few hundred ms."""
        for _ in range(4):
            ip("-n", self.hub, "link", "set", "dev", node.name, "down")
            time.sleep(self.random.uniform(0.1, 0.3))
            ip("-n", self.hub, "link", "set", "dev", node.name, "up")
            time.sleep(self.random.uniform(0.1, 0.3))

    def plan(self):
        faults = ["pull", "unplug", "flap", "stop", "kill"]
        self.random.shuffle(faults)
        return [fault for fault in faults if not self.options.only or fault in self.options.only]

    def close(self):
        super().close()
        for name in [*"abcdefgh"[:self.options.nodes], "hub"]:
            subprocess.run(["ip", "netns", "del", f"{self.prefix}-{name}"], check=False, stderr=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("ledger", help="the node program")
    parser.add_argument("--net", choices=("loopback", "namespaces", "strangers"), default="loopback")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20, help="the longest time of faults")
    parser.add_argument("--faults", type=int, default=0, help="as many are enough, if the messages are, too")
    parser.add_argument("--messages", type=int, default=0, help="these and the faults must be there in that time")
    parser.add_argument("--only", nargs="*", help="kinds of faults")
    parser.add_argument("--pause", type=float, default=0.3, help="the longest time between two faults")
    parser.add_argument("--rate", type=int, default=0, help="messages a second of a stream; 0: all it can")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--streams", type=int, default=2, help="from each node to each")
    parser.add_argument("--down-ms", type=int, default=3000)
    parser.add_argument("--beat-ms", type=int, default=300)
    parser.add_argument("--compress", type=int, default=0, help="every other node compresses frames of so many bytes")
    parser.add_argument("--keys", action="store_true", help="each node has keys, and so speaks CURVE")
    parser.add_argument("--strangers", type=int, default=1000, help="connections that never speak")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the ledgers and logs")
    options = parser.parse_args()
    memory = "/dev/shm"  # a node must not wait for a disk
    folder = tempfile.mkdtemp(prefix="soma-faults-", dir=memory if os.path.isdir(memory) else None)
    run = {"loopback": Loopback, "namespaces": Namespaces, "strangers": Strangers}[options.net](options, folder)
    try:
        run.run()
    except Failure as failure:
        print(f"FAILED: {failure}; seed {options.seed}; logs and ledgers are in {folder}")
        return 1
    finally:
        run.close()
    if not options.keep:
        subprocess.run(["rm", "-r", folder], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
