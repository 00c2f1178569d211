#!/usr/bin/env python3
"""An agent in Python that finds one in C by name, and is found: names.py NAMESERVER NAME FRIEND. See docs/nameservice.md.

Registers NAME, which can `shout` a text, as loud as its attribute says; waits for FRIEND, a tank (examples/run/tank.c),
makes sure that it holds at least 50 litres, and fills it with five; then lives until it is told to shut down.
"""
import sys

from soma_methods import Proxy, methods
from soma_names import Names
from soma_peer import Peer

shown = {"marks": 0, "shouts": 0}


def shout(text):
    """gives a text in capitals, with as many marks behind it as `marks` says"""
    shown["shouts"] += 1
    return text.upper() + "!" * shown["marks"]


peer = Peer("python")
names = Names(peer, sys.argv[1])
me = peer.spawn(methods(peer, {"shout": shout}, attributes=shown, settable=("marks",)))
error, holder = names.register(sys.argv[2], me, timeout=60)
if error:
    sys.exit(f"{sys.argv[2]} can't be registered: {error}, {holder} has it")
found = names.wait(sys.argv[3], timeout=60)
if isinstance(found, int):
    sys.exit(f"{sys.argv[3]} was not found: {found}")
tank = Proxy(peer, me, found)
tank.set({"limit": max(50, tank.get("limit"))})
print(sys.argv[3], "has", tank.call("fill", 5, timeout=60), "litres", flush=True)
while peer.agents[me]:
    names.run(0.1)
names.close()
peer.close()
