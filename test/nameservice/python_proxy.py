#!/usr/bin/env python3
"""A client in Python that reads and sets attributes, and calls methods, of a tank in C and of an agent in Python:
python_proxy.py NAMESERVER TANK AGENT. See test/scripts/python_names_test.sh."""
import sys

from soma_methods import Proxy, SomaError
from soma_names import Names
from soma_peer import EEXIST, ENOENT, ESTATE, ETIMEOUT, ETOOBIG, ETYPE, Peer


def fails(number, text, function, *arguments, **options):
    try:
        function(*arguments, **options)
    except SomaError as error:
        assert (error.number, str(error)) == (number, text), (error.number, error)
    else:
        raise AssertionError(f"{function} has not failed by {text}")


peer = Peer("client")
names = Names(peer, sys.argv[1])
me = peer.spawn(lambda _message, _sender: ETYPE)
tank, other = (Proxy(peer, me, names.wait(name, timeout=60)) for name in sys.argv[2:])

shown = tank.get(timeout=60)
assert shown == {"place": shown["place"], "limit": 100, "litres": 5}, shown
tank.set({"place": "roof", "limit": 7}, timeout=60)
assert tank.get("place", timeout=60) == "roof"
assert tank.call("fill", 2, timeout=60) == 7
fails(ETOOBIG, "it holds 7 litres", tank.call, "fill", 1, timeout=60)
fails(ESTATE, "attribute 'litres' is only read", tank.set, {"litres": 0}, timeout=60)
fails(ENOENT, "'tank' has no attribute 'colour'", tank.get, "colour", timeout=60)
fails(ENOENT, "'tank' has no method 'drain'", tank.call, "drain", timeout=60)
fails(ETIMEOUT, "nobody has answered in 0.0 s", tank.call, "fill", 1, timeout=0.0)
tank.set({"limit": 100}, timeout=60)

other.set({"marks": 1}, timeout=60)
assert other.call("shout", "there", timeout=60) == "THERE!"
assert other.get("marks", timeout=60) == 1
fails(ETYPE, "soma.set wants a map of attributes", other.call, "soma.set", 5, timeout=60)
fails(ETYPE, "soma.get wants the name of an attribute", other.call, "soma.get", 5, timeout=60)

# A name that is taken, also for the agent that has it: by this client it is another's.
assert names.register(sys.argv[2], me, timeout=60) == (EEXIST, tank.agent)
assert names.register(sys.argv[2], tank.agent, timeout=60) == (EEXIST, tank.agent)
assert names.register("mine", me, timeout=60) == (0, me)
assert names.register("mine", me, timeout=60) == (0, me)
names.close()
peer.close()
