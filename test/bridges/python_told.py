#!/usr/bin/env python3
"""A node in Python that was told of another one may talk to it at once: what it says waits until they have met.

The nodes are of this process, and run in turn, so they can't have met before. For test/scripts/python_peer_test.sh.
"""
import sys
import time

from soma_peer import NODE, REFUSED, Link, Message, Peer

ASK = Message("ask", "u64 number")
TOLD = Message("told", "u64 number")

friend, me = Peer("friend"), Peer("me")
friend.register(ASK)
me.register(TOLD)
agent = friend.spawn(lambda message, _sender: TOLD(number=message[1]["number"] * 2))
answers, ended = [], []

me.item_came(Link(1), NODE, friend.node, "friend", [friend.address])
me.monitor(me.whereis, agent, lambda reason, text: ended.append((reason, text)))
me.request(me.whereis, agent, ASK(number=21), answers.append)
until = time.monotonic() + 30
while not (answers and ended) and time.monotonic() < until:
    me.run(0.01)
    friend.run(0.01)
    if answers:
        friend.end(agent, -1000, "as you wish")
if answers != [TOLD(number=42)] or ended != [(-1000, "as you wish")]:
    sys.exit(f"asked one that it was told of, it hears {answers} and {ended}")
link = me.links[friend.node]
for _ in range(2):  # in the middle of a session: it had one name for two things
    me.item_came(link, REFUSED, link.offered["ask"], "")
if "ask" not in link.refused:
    sys.exit("what it has offered is refused, and it goes on as before")
print("one that was told of another asks and watches its agents")
