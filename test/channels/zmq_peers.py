#!/usr/bin/python3
"""Each pattern of channels against the plain ZeroMQ sockets that it may talk with: both sides binding, serializers raw,
msgpack and json, the ways in which topic and message share frames, and keys. The other side is zmq_peer.c, whose path
is the argument."""
import json
import select
import subprocess
import sys
import tempfile

import msgpack
import zmq
import zmq.utils.monitor

PROGRAM = sys.argv[1]
APART, PREFIX, SEPARATED = range(3)
context = zmq.Context()
work = tempfile.TemporaryDirectory()
count = 0


class Peer:
    """The agent's program, and a socket that its channel talks with."""

    def __init__(self, pattern, kind, binds, serializer, transport, framing=APART, identity="", keys=None):
        """The keys are pairs, the agent's and the socket's."""
        global count
        count += 1
        self.serializer, self.framing = serializer, framing
        place = f"ipc://{work.name}/{count}" if transport == "ipc" else "tcp://127.0.0.1"
        self.socket = context.socket(kind)
        self.socket.linger = 0
        self.socket.rcvtimeo = 10000
        self.socket.sndtimeo = 10000
        if keys:
            self.agent_key = keys[0][0]
            self.socket.curve_publickey, self.socket.curve_secretkey = keys[1]
            if binds:
                self.socket.curve_serverkey = self.agent_key
            else:
                self.socket.curve_server = True
        if not binds:
            self.socket.bind(place if transport == "ipc" else place + ":*")
            place = self.socket.last_endpoint.decode()
        self.name = f"{pattern} {'binds' if binds else 'connects'} {transport} {serializer} {framing}"
        self.process = subprocess.Popen(
            [PROGRAM, pattern, "bind" if binds else "connect", place, serializer, str(framing), identity] +
            ([keys[0][1].decode(), keys[1][0].decode()] if keys else []),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self.line()
        if binds:
            self.socket.connect(self.address)

    def line(self):
        return self.process.stdout.readline().rstrip("\n")

    def expect(self, *lines):
        for line in lines:
            got = self.line()
            assert got == line, f"{self.name}: '{got}' is not '{line}'"

    def send(self):
        """Lets the agent send one; it may have to wait until it is connected."""
        while True:
            self.process.stdin.write("send\n")
            self.process.stdin.flush()
            said = self.line()
            if said == "sent":
                return
            assert said == "not sent -21", f"{self.name}: {said}"
            self.socket.poll(1)  # a socket does what it must only while it is looked at

    def pack(self, number, text):
        if self.serializer == "raw":
            return text.encode()
        message = {"number": number, "text": text}
        return msgpack.packb(message) if self.serializer == "msgpack" else json.dumps(message).encode()

    def unpack(self, data):
        if self.serializer == "raw":
            return data.decode()
        message = msgpack.unpackb(data) if self.serializer == "msgpack" else json.loads(data)
        return (message["number"], message["text"])

    def message(self, number, text):
        """What unpack() should give."""
        return text if self.serializer == "raw" else (number, text)

    def said(self, number, text):
        """What the agent says of it."""
        return text if self.serializer == "raw" else f"{number} {text}"

    def frames(self, topic, data):
        if self.framing == APART:
            return [topic.encode(), data]
        return [topic.encode() + (b"\x80" if self.framing == SEPARATED else b"") + data]

    def end(self):
        self.process.stdin.close()
        self.socket.close()
        status = self.process.wait(30)
        assert status == 0, f"{self.name}: ended with {status}"
        self.process.stdout.close()
        print("ok", self.name)


def push(peer):
    for i in range(3):
        peer.send()
    for i in range(3):
        got = peer.unpack(peer.socket.recv())
        assert got == peer.message(i, f"m{i}"), got


def pull(peer):
    for i in range(3):
        peer.socket.send(peer.pack(i, f"t{i}"))
        peer.expect(f"got '' {peer.said(i, f't{i}')}")


def pair(peer):
    push(peer)
    pull(peer)


def pub(peer):
    """An XSUB takes whatever comes, so the publisher must have left out what is not wanted."""
    if peer.socket.type == zmq.SUB:
        peer.socket.subscribe(b"a/")
    else:
        peer.socket.send(b"\x01a/")
    for i in range(3):
        peer.send()  # b/1 is the second
    for i, topic in ((0, "a/1"), (2, "a/2")):
        got = peer.socket.recv_multipart()
        data = got[-1] if peer.framing == APART else got[-1][len(topic) + (peer.framing == SEPARATED):]
        assert got == peer.frames(topic, data), got
        assert peer.unpack(data) == peer.message(i, f"m{i}"), got


def sub(peer):
    assert peer.socket.recv() == b"\x01a"  # an XPUB tells what the agent has subscribed to
    for i, topic in enumerate(("a", "b", "a")):
        peer.socket.send_multipart(peer.frames(topic, peer.pack(i, f"t{i}")))
    peer.expect(f"got 'a' {peer.said(0, 't0')}", f"got 'a' {peer.said(2, 't2')}")


def heard(peer):
    """A PUB does not tell who has subscribed: from when it is heard nothing is missed."""
    sent = 0
    while not select.select([peer.process.stdout], [], [], 0.01)[0]:
        for topic in ("b", "a"):
            peer.socket.send_multipart(peer.frames(topic, peer.pack(sent, f"t{sent}")))
        sent += 1
    first = peer.line()
    number = int(first.rsplit("t", 1)[1])
    assert first == f"got 'a' {peer.said(number, f't{number}')}", first
    peer.expect(*(f"got 'a' {peer.said(i, f't{i}')}" for i in range(number + 1, sent)))


def req(peer):
    for i in range(3):
        peer.send()
        assert peer.unpack(peer.socket.recv()) == peer.message(i, f"m{i}")
        peer.socket.send(peer.pack(i + 10, "reply"))
        peer.expect(f"answer {peer.said(i + 10, 'reply')}")
    if peer.serializer == "raw":
        return
    peer.send()
    peer.socket.recv()
    peer.socket.send(b"\xc1 is no message")
    got = peer.line()
    assert got.startswith("error -"), got
    peer.send()
    peer.socket.recv()
    peer.socket.send(peer.pack(13, "reply"))
    peer.expect("answer 13 reply")


def rep(peer):
    for i in range(3):
        peer.socket.send(peer.pack(i, f"t{i}"))
        peer.expect(f"got '' {peer.said(i, f't{i}')}")
        got = peer.unpack(peer.socket.recv())
        assert got == (f"t{i}" if peer.serializer == "raw" else (2 * i, "answer")), got
    if peer.serializer == "raw":
        return
    peer.socket.send(peer.pack(99, "none"))
    empty, failure = peer.socket.recv_multipart()
    assert empty == b"" and msgpack.unpackb(failure) == [-77, "no 99"], failure
    peer.socket.send(b"\xc1 is no message")
    empty, failure = peer.socket.recv_multipart()
    assert empty == b"" and msgpack.unpackb(failure)[0] < 0, failure


def async_req(peer):
    """A ROUTER answers three questions backwards."""
    for i in range(3):
        peer.send()
    asked = [peer.socket.recv_multipart() for i in range(3)]
    for i in (2, 1, 0):
        who, name, empty, data = asked[i]
        assert len(name) == 12 and name[:4] == b"soma" and empty == b""
        assert peer.unpack(data) == peer.message(i, f"m{i}")
        reply = peer.pack(i + 10, "reply")
        peer.socket.send_multipart([who, name + reply] if i == 1 else [who, name, b"", reply])
    peer.expect(*(f"answer {peer.said(i + 10, 'reply')}" for i in (2, 1, 0)))


def async_rep(peer):
    """A DEALER asks three times before it looks."""
    for i in range(3):
        peer.socket.send_multipart([b"id%d" % i, b"", peer.pack(i, f"t{i}")])
    peer.socket.send_multipart([b"soma12345678", b"", peer.pack(3, "t3")])
    for i in range(4):
        peer.expect(f"got '' {peer.said(i, f't{i}')}")
        *head, data = peer.socket.recv_multipart()
        if i == 3:  # whose name has the mark gets it in one frame with the answer
            assert not head and data[:12] == b"soma12345678"
            data = data[12:]
        else:
            assert head == [b"id%d" % i, b""]
        assert peer.unpack(data) == (f"t{i}" if peer.serializer == "raw" else (2 * i, "answer"))


def named(peer):
    """A ROUTER knows the agent by its identity."""
    for i in range(2):
        peer.send()
        name, *head, data = peer.socket.recv_multipart()
        assert name == b"alice", name
        peer.socket.send_multipart([b"alice"] + head + [peer.pack(i, "reply")])
        peer.expect(f"answer {peer.said(i, 'reply')}")


def comes_again(peer):
    """Who comes again with his identity is answered, while what is left of him is still connected."""
    sockets = [context.socket(zmq.DEALER) for i in range(2)]
    for i, again in enumerate(sockets):
        again.identity, again.linger, again.rcvtimeo = b"bob", 0, 10000
        again.connect(peer.address)
        again.send_multipart([b"", peer.pack(i, f"t{i}")])
        peer.expect(f"got '' {peer.said(i, f't{i}')}")
        assert peer.unpack(again.recv_multipart()[1]) == (2 * i, "answer")


def sync_pub(peer):
    """An XSUB asks as docs/channels.md says."""
    topic, handle = b"\x03mine", b"12345678"
    peer.socket.send(b"\x01a/")
    peer.socket.send(b"\x01" + topic)
    peer.send()
    assert peer.unpack(peer.socket.recv_multipart()[1]) == peer.message(0, "m0")
    peer.socket.send(b"\x02" + handle + bytes([len(topic)]) + topic + peer.pack(7, "why"))
    peer.expect(f"got '' {peer.said(7, 'why')}")
    got = peer.socket.recv_multipart()
    assert got[:3] == [topic, handle, b""], got
    assert peer.unpack(got[3]) == ("why" if peer.serializer == "raw" else (14, "answer"))


def sync_sub(peer):
    """An XPUB publishes and answers."""
    subscriptions = {peer.socket.recv(), peer.socket.recv()}
    answers = next(s[1:] for s in subscriptions if s[1:2] == b"\x03")
    assert subscriptions == {b"\x01a", b"\x01" + answers}
    peer.socket.send_multipart([b"a", peer.pack(1, "news")])
    peer.expect(f"got 'a' {peer.said(1, 'news')}")
    peer.send()
    asked = peer.socket.recv()
    assert asked[:1] == b"\x02" and asked[9] == len(answers) and asked[10:10 + len(answers)] == answers
    assert peer.unpack(asked[10 + len(answers):]) == peer.message(0, "m0")
    peer.socket.send_multipart([answers, asked[1:9], b"", peer.pack(5, "so")])
    peer.expect(f"answer {peer.said(5, 'so')}")


def pull_of_one(peer):
    """Who comes with another key than the one that is allowed is turned away, and hears of it."""
    stranger = context.socket(zmq.PUSH)
    stranger.linger, stranger.curve_serverkey = 0, peer.agent_key
    stranger.curve_publickey, stranger.curve_secretkey = zmq.curve_keypair()
    monitor = stranger.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_SUCCEEDED)
    stranger.connect(peer.address)
    assert monitor.poll(10000), f"{peer.name}: nothing was heard"
    event = zmq.utils.monitor.recv_monitor_message(monitor)["event"]
    assert event == zmq.EVENT_HANDSHAKE_FAILED_AUTH, event
    stranger.disable_monitor()
    stranger.close()
    pull(peer)


PATTERNS = [
    ("push", zmq.PULL, push), ("pull", zmq.PUSH, pull), ("pub", zmq.SUB, pub), ("sub", zmq.XPUB, sub),
    ("req", zmq.REP, req), ("rep", zmq.REQ, rep), ("pair", zmq.PAIR, pair),
    ("async-req", zmq.ROUTER, async_req), ("async-rep", zmq.DEALER, async_rep),
    ("sync-pub", zmq.XSUB, sync_pub), ("sync-sub", zmq.XPUB, sync_sub),
    ("pub", zmq.XSUB, pub), ("sub", zmq.PUB, heard), ("sync-pub", zmq.SUB, pub),
    ("async-req", zmq.REP, req), ("async-rep", zmq.REQ, rep),
]

for pattern, kind, talk in PATTERNS:
    for serializer in ("msgpack", "raw", "json"):
        for binds in (True, False):
            framings = (APART, PREFIX, SEPARATED) if pattern in ("pub", "sub") else (APART,)
            for framing in framings:
                transport = "tcp" if binds == (serializer != "json") else "ipc"
                peer = Peer(pattern, kind, binds, serializer, transport, framing)
                talk(peer)
                peer.end()

for pattern in ("req", "async-req"):
    for binds in (True, False):
        peer = Peer(pattern, zmq.ROUTER, binds, "msgpack", "tcp" if binds else "ipc", identity="alice")
        named(peer)
        peer.end()
for pattern in ("rep", "async-rep"):
    for transport in ("tcp", "ipc"):
        peer = Peer(pattern, zmq.DEALER, True, "msgpack", transport)
        comes_again(peer)
        peer.end()
for pattern, kind, binds, talk in (("pull", zmq.PUSH, True, pull_of_one), ("push", zmq.PULL, False, push)):
    for transport in ("tcp", "ipc"):
        peer = Peer(pattern, kind, binds, "msgpack", transport, keys=(zmq.curve_keypair(), zmq.curve_keypair()))
        talk(peer)
        peer.end()
