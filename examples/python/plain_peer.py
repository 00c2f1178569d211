#!/usr/bin/python3
"""Asks an agent of Soma's by a REQ, and hears what it publishes by a SUB: plain ZeroMQ, and JSON. Its arguments are the
two addresses that examples/plain_peer.c prints."""
import json
import sys

import zmq

context = zmq.Context()
desk, sums = context.socket(zmq.REQ), context.socket(zmq.SUB)
desk.connect(sys.argv[1])
sums.connect(sys.argv[2])
sums.subscribe("even")


def ask(*numbers):
    desk.send_json({"numbers": numbers})
    return desk.recv_json()["sum"]


while not sums.poll(50):  # until the agent has heard of the subscription
    ask(1, 1)
print("asked:", ask(1, 2, 3), ask(20, 1))

topic, message = sums.recv_multipart()
print(f"heard of {topic.decode()}:", json.loads(message)["sum"])

desk.send(b"nonsense")
frames = desk.recv_multipart()  # in place of an answer an empty frame, and why
print("nonsense fails" if not frames[0] and len(frames) == 2 else frames)
context.destroy(linger=0)
