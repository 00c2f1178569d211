#!/usr/bin/env python3
"""A node in Python beside one in C (python_peer.c): python_hello.py ADDRESS. For test/scripts/python_peer_test.sh."""
import sys

from soma_peer import ETYPE, Message, Peer

GREET = Message("greet", "string name,u64 number")
COUNT = Message("count")
COUNTED = Message("counted", "u64 number")
HERE = Message("here", "string address")
ASK = Message("ask", "u64 number")
TOLD = Message("told", "u64 number")
WEIGH = Message("weigh", "bytes load")
WEIGHED = Message("weighed", "u64 times,u64 bytes")
QUIT = Message("quit")

peer = Peer("python")
peer.register(COUNTED, ASK, QUIT, WEIGH)
found, counted, ended = [], [], []
weights = []


def pythonista(message, _sender):
    """An agent: it answers what it is asked, and ends when it is told to."""
    kind, fields = message
    if kind is ASK:
        return TOLD(number=fields["number"] * 2)
    if kind is WEIGH:  # alone, or one for all, or asked
        weights.append(len(fields["load"]) if fields["load"].count(b"x") == len(fields["load"]) else 0)
        return WEIGHED(times=len(weights), bytes=sum(weights))
    if kind is QUIT:
        peer.end(me, -1000, "as you wish")
        return None
    return ETYPE


def wait_for(what):
    while not what:
        peer.run(0.05)
    return what[0]


me = peer.spawn(pythonista, "pythonista")
peer.find(sys.argv[1], "greeter", found.append)
greeter = wait_for(found)
peer.monitor(me, greeter, lambda reason, text: ended.append((reason, text)))
for number in range(1000):
    peer.send(me, greeter, GREET(name="Python", number=number))
    if number % 250 == 100:
        peer.run(0.01)
    if number == 600:  # an outage, of which nobody notices anything
        peer.hang_up(peer.links[greeter[0]].connection)
peer.request(me, greeter, COUNT(), counted.append)
print("the greeter has counted", wait_for(counted)[1]["number"])
peer.send(me, greeter, HERE(address=peer.address))
print("the greeter has ended: reason %d, %s" % wait_for(ended))
peer.close()
