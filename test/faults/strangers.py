#!/usr/bin/env python3
"""Does to a node what strangers may: connections that never speak, that speak a byte now and then, garbage, other
versions, hellos that were heard before, frames in parts.

strangers.py PORT SECONDS CONNECTIONS

Prints what it has done as a line of JSON. Whether the node still serves its peers is for its ledger to tell.
"""
import json
import random
import resource
import socket
import struct
import sys
import time

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)


def command(name, body):
    data = bytes([len(name)]) + name + body
    return bytes([4, len(data)]) + data


def property_of(name, value):
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


READY = command(b"READY", property_of(b"Socket-Type", b"DEALER") + property_of(b"Identity", b""))


def checksum(frame):
    value = 0xFFFFFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return struct.pack("<I", value ^ 0xFFFFFFFF)


def message(frame, more=False):
    return bytes([1 if more else 0, len(frame)]) + frame


def number(value):
    return b"\xcf" + struct.pack(">Q", value)


def hello(version, node):
    """[1, version, least, node, slot, generation, name, addresses, beat, count]"""
    frame = b"\x9a\x01" + number(version) * 2 + number(node) + b"\x01\x01\xa1x\x90\xcd\x03\xe8\x01"
    return frame + checksum(frame)


def rest(connection):
    """All that has come, without waiting."""
    got = b""
    try:
        while data := connection.recv(1 << 16):
            got += data
    except (BlockingIOError, ConnectionError):
        pass
    return got


class Strangers:
    def __init__(self, port):
        self.port, self.random, self.counts = port, random.Random(1), {}
        self.replayed = hello(1, self.random.getrandbits(64))

    def connect(self, kind):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        return connection

    def once(self, kind, data, nap=0.0):
        try:
            with self.connect(kind) as connection:
                connection.sendall(data)
                time.sleep(nap)
                connection.setblocking(False)
                rest(connection)
        except OSError:
            pass  # it is free to turn us away

    def garbage(self):
        return self.random.randbytes(self.random.randrange(1, 3000))

    def all_kinds(self):
        mutant = bytearray(hello(1, self.random.getrandbits(64)))
        mutant[self.random.randrange(len(mutant))] ^= 1 << self.random.randrange(8)
        session = b"\x94\x02" + number(self.random.getrandbits(64)) + b"\x00\x00"
        data = b"\x93\x03\x01\x00" + self.garbage()[:100]
        spoken = GREETING + READY
        self.once("garbage", self.garbage())
        self.once("garbage for frames", spoken + message(self.garbage()[:200]), 0.01)
        self.once("no frame", spoken + message(b""), 0.01)
        self.once("parts", spoken + message(b"a", True) + message(b"b"), 0.01)
        self.once("too long", spoken + b"\x02" + struct.pack(">Q", 1 << 60) + b"abc", 0.01)
        self.once("other version", spoken + message(hello(999, 5)), 0.01)
        self.once("nobody", spoken + message(hello(1, 0)), 0.01)
        self.once("altered hello", spoken + message(bytes(mutant)), 0.01)
        self.once("replayed hello", spoken + message(self.replayed), 0.01)
        self.once("hello twice", spoken + 2 * message(self.replayed), 0.01)
        self.once("garbage for data", spoken + message(hello(1, self.random.getrandbits(64))) +
                  message(session + checksum(session)) + message(data + checksum(data)), 0.02)

    def run(self, seconds, most):
        until, silent, slow = time.monotonic() + seconds, [], []
        while time.monotonic() < until:
            for _ in range(min(max(20, most // 20), most - len(silent))):
                try:
                    silent.append(self.connect("silent"))
                except OSError:
                    break
            if len(slow) < 50:
                try:
                    slow.append([self.connect("slow"), GREETING + READY])
                except OSError:
                    pass
            for one in slow:
                try:
                    one[0].send(one[1][:1])
                    one[1] = one[1][1:] or one[1]
                except OSError:
                    pass
            self.all_kinds()
        print(json.dumps(self.counts))


resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
Strangers(int(sys.argv[1])).run(float(sys.argv[2]), int(sys.argv[3]))
