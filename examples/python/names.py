#!/usr/bin/env python3
"""An agent in Python that finds one in C by name, and is found: names.py NAMESERVER NAME FRIEND. See docs/nameservice.md.

Registers NAME, which can `shout` a text; waits for FRIEND, a tank (examples/run/tank.c), and fills it with five litres;
then lives until it is told to shut down.
"""
import sys

from soma_names import INVOKE, RESULT, Names, methods
from soma_peer import Peer

peer = Peer("python")
peer.register(INVOKE, RESULT)
names = Names(peer, sys.argv[1])
me = peer.spawn(methods({"shout": str.upper}))
error = names.register(sys.argv[2], me, timeout=60)
if error:
    sys.exit(f"{sys.argv[2]} can't be registered: {error}")
tank = names.wait(sys.argv[3], timeout=60)
if isinstance(tank, int):
    sys.exit(f"{sys.argv[3]} was not found: {tank}")
filled = []
peer.request(me, tank, INVOKE(method="fill", arguments=5), filled.append)
while not filled:
    names.run(0.05)
print(sys.argv[3], "has", filled[0][1]["value"], "litres", flush=True)
while peer.agents[me]:
    names.run(0.1)
names.close()
peer.close()
