#!/usr/bin/env python3
"""One of two nodes that greet each other, as examples/remote_hello.c is, and with that one: docs/bridges.md."""
import argparse
import sys
import time

from soma_peer import ETYPE, Message, Peer

GREET = Message("greet", "string name")
GREETING = Message("greeting", "string text")
LEAVE = Message("leave")


def address(text):
    host, _, port = text[6:].rpartition(":")
    tcp = text.startswith("tcp://") and host and " " not in text
    if not text.startswith("ipc://") and not (tcp and (port == "*" or port.isdigit() and 0 < int(port) < 65536)):
        raise argparse.ArgumentTypeError(f"{text!r} is not tcp://HOST:PORT, with a port of 1 to 65535, nor ipc://PATH;"
                                         " keys are not spoken here")
    return text


def seconds(text):
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds above 0")
    return int(text)


def serve():
    peer, left = Peer("python", options.address), []

    def greeter(message, _sender):
        kind, fields = message
        if kind is LEAVE:
            left.append(True)
        return GREETING(text=f"Hello, {fields['name']}, from Python!") if kind is GREET else ETYPE

    peer.register(GREET, LEAVE)
    peer.spawn(greeter, "greeter")
    print(peer.address, flush=True)
    while not left:
        peer.run(1)
    peer.close()


def call():
    peer, until, found, answers = Peer("python"), time.monotonic() + options.timeout, [], []
    peer.register(GREETING)
    me = peer.spawn(lambda _message, _sender: ETYPE)
    peer.find(options.address, "greeter", found.append, until)
    while not answers and time.monotonic() < until:
        if found and isinstance(found[0], int):
            sys.exit(f"{options.address} has no greeter: error {found[0]}")
        if found and not peer.pending:
            peer.request(me, found[0], GREET(name="Python"), answers.append)
        peer.run(0.05)
    if not answers:
        sys.exit(f"nobody answers at {options.address} within {options.timeout} s")
    print(answers[0] if isinstance(answers[0], int) else answers[0][1]["text"])
    peer.send(me, found[0], LEAVE())
    peer.close()


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("what", choices=("serve", "call"))
parser.add_argument("address", type=address, help="tcp://HOST:PORT or ipc://PATH")
parser.add_argument("--timeout", type=seconds, default=10, help="seconds that a call may take; 10")
options = parser.parse_args()
serve() if options.what == "serve" else call()
