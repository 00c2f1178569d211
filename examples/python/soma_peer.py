"""A node of Soma's in Python: a small, independent peer of the C one, written from docs/protocol.md.

It dials and is dialed, keeps a session over its connections, and has agents that are found by name, send, ask, answer,
watch and are watched, are linked, shut down and killed. One thread: all happens in Peer.run().
"""
import io
import random
import sys
import time

import msgpack
import zmq

VERSION = 1
HELLO, SESSION, DATA, PING, REJECT, BYE = range(1, 7)
(TYPE, REFUSED, NODE, SEND, REQUEST, REPLY, ERROR, MOVED, WATCH, UNWATCH, DOWN, LINK, UNLINK, EXIT, SHUTDOWN,
 KILL, BODY, SHARED, FORGET) = range(1, 20)
READS = 1  # bodies that come apart, and shared ones
BODIES_MOST = 16
EINVAL, EGONE, EEXIST, ENOENT, ETIMEOUT, EFORMAT, ETOOBIG, ETYPE, ESTATE = -1, -3, -6, -7, -8, -9, -10, -11, -14
EKILLED, ENOREPLY, ESHUTDOWN, ENODEDOWN = -16, -17, -18, -20
BEAT, PATIENCE, RETRY = 0.2, 5.0, 0.1  # seconds
NOBODY = (0, 0, 0)


def short(ref, meant):
    return None if ref == NOBODY else ref[1:] if ref[0] == meant else ref


def full(ref, meant):
    return NOBODY if ref is None else (meant, *ref) if len(ref) == 2 else tuple(ref)


class Message:
    """A message type, by its name and layout; calling it makes a message, a pair of the type and its fields."""

    KINDS = ("u8 u16 u32 u64 i8 i16 i32 i64 f32 f64 bool ref string bytes value").split()
    ZERO = {"bool": False, "f32": 0.0, "f64": 0.0, "string": None, "bytes": b"", "value": None, "ref": NOBODY}

    def __init__(self, name, layout="", **nested):
        """In `layout` a nested type stands by its name alone, and is one of `nested`."""
        self.name, self.nested = name, nested
        self.fields = [field.rsplit(" ", 1) for field in layout.split(",") if field]
        self.layout = ",".join(f"{self.kind_text(kind)} {name}" for kind, name in self.fields)

    def kind_text(self, kind):
        type_ = self.nested.get(kind.strip("[]"))
        return kind.replace(type_.name, f"{type_.name}#{hash_text(type_.spelled())}") if type_ else kind

    def spelled(self):
        """What the hash of a nested type is made of; none is within itself here."""
        text = self.name.encode() + bytes([0, len(self.fields)])
        for kind, name in self.fields:
            type_ = self.nested.get(kind.strip("[]"))
            number = 15 if type_ else self.KINDS.index(kind.strip("[]"))
            text += name.encode() + bytes([0, number, kind[0] == "["]) + (type_.spelled() if type_ else b"")
        return text

    def __call__(self, **values):
        return self, {name: values.get(name, [] if kind[0] == "[" else self.ZERO.get(kind, 0))
                      for kind, name in self.fields}

    def read(self, body):
        """From the wire: an array, which may be shorter or longer than ours, or a map. Nested ones become maps."""
        if not isinstance(body, dict):
            body = {name: value for (_, name), value in zip(self.fields, body)}
        for kind, name in self.fields:
            type_, value = self.nested.get(kind.strip("[]")), body.get(name)
            if type_ and value is not None:
                read = [type_.read(each)[1] for each in (value if kind[0] == "[" else [value])]
                body[name] = read if kind[0] == "[" else read[0]
        return self(**body)

    def fits(self, layout):
        short, long = sorted((self.layout, layout), key=len)
        return long.startswith(short) and (len(short) in (0, len(long)) or long[len(short)] == ",")


def hash_text(text):
    """FNV-1a, in hexadecimal."""
    value = 0xcbf29ce484222325
    for byte in text:
        value = (value ^ byte) * 0x100000001b3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def wire(value):
    """A field as it is in a body: a message in it is an array."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Message):
        return [wire(field) for field in value[1].values()]
    return [wire(item) for item in value] if isinstance(value, list) else value


WHEREIS = Message("soma_bridge_whereis", "string name")
LOCATED = Message("soma_bridge_located", "ref agent")
FAILURE = Message("soma_failure", "i32 error,string text")  # as an answer: an error, with its words


class Failure(int):
    """An error number, and the words that came with it."""

    def __new__(cls, error, text):
        self = super().__new__(cls, error)
        self.text = text
        return self


def checksum_table():
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        yield value


CHECKSUM = list(checksum_table())


def checksum(frame):
    """CRC-32C, as it is at the end of a frame."""
    value = 0xFFFFFFFF
    for byte in frame:
        value = value >> 8 ^ CHECKSUM[(value ^ byte) & 0xFF]
    return (value ^ 0xFFFFFFFF).to_bytes(4, "little")


class Connection:
    def __init__(self, socket, address=None, identity=None):
        self.socket, self.address, self.identity = socket, address, identity
        self.link, self.begun = None, time.monotonic()
        self.said = self.heard = 0  # the counts of the hellos over it

    def later(self, other):
        """Who dialed this one said hello over it later than over the other."""
        return self.said > other.said if self.address else self.heard > other.heard

    def send(self, frame):
        frame += checksum(frame)
        self.socket.send_multipart([self.identity, frame] if self.identity else [frame])


class Link:
    """The session with another node."""

    def __init__(self, node):
        self.node, self.agent, self.connection, self.ready = node, NOBODY, None, False
        self.beat, self.heard, self.spoken, self.since = BEAT, 0, 0, time.monotonic()
        self.reset()

    def reset(self):
        self.mine, self.yours = random.getrandbits(63) + 1, 0
        self.sent = self.acked = self.received = self.told = 0
        self.kept, self.items = {}, []  # frames by number; what is not in one yet
        self.offered, self.refused, self.complained, self.types = {}, set(), set(), {}
        self.bodies = {}  # [kind, bytes, how many are to come] by number

    def put(self, *item):
        self.items.append(msgpack.packb(item))

    def part_came(self, kind, number, left, part):
        """Of a body that is put together for later; false if it makes no sense."""
        kind_before, whole, due = self.bodies.setdefault(number, [kind, b"", left + len(part)])
        begun = whole or not any(body[2] for other, body in self.bodies.items() if other != number)
        self.bodies[number] = [kind, whole + part, left]
        return number and part and begun and kind == kind_before and due == left + len(part) \
            and len(self.bodies) <= BODIES_MOST

    def body_of(self, kind, body):
        """What stands in a message's place for its body, which may have come before; None: there is none."""
        if not isinstance(body, int):
            return body
        how, whole, due = self.bodies.get(body, (None, b"", 1))
        if due or (how == SHARED and kind != SEND):
            return None
        if how == BODY:
            del self.bodies[body]
        return msgpack.unpackb(whole, strict_map_key=False)

    def acknowledge(self, number):
        while self.acked < min(number, self.sent):
            self.acked += 1
            del self.kept[self.acked]


class Peer:
    def __init__(self, name, bind="tcp://127.0.0.1:*"):
        self.name, self.node = name, random.getrandbits(63) + 1
        self.context, self.poller = zmq.Context(), zmq.Poller()
        self.router = self.context.socket(zmq.ROUTER)
        self.router.bind(bind)
        self.poller.register(self.router, zmq.POLLIN)
        self.address = self.router.getsockopt_string(zmq.LAST_ENDPOINT)
        self.accepted, self.dialed, self.dials = {}, {}, {}  # by identity; by socket; [connection, due, node] by address
        self.hellos = 0  # that were said
        self.links, self.agents, self.names = {}, {}, {}
        self.known, self.pending, self.watches, self.handles = {}, {}, {}, 0
        self.whereis = self.spawn(self.locate, "bridge")
        self.register(WHEREIS, LOCATED, FAILURE)

    # ---- agents ----

    def register(self, *types):
        self.known.update((type_.name, type_) for type_ in types)

    def spawn(self, handler, name=None):
        """`handler(message, sender)` gets (type, fields), and gives an answer, an error number, or None."""
        ref = (self.node, len(self.agents) + 1, 1)  # no slot is used twice
        self.agents[ref] = (handler, name, {})  # the last: (who, handle): DOWN or EXIT
        self.names[name] = ref
        return ref

    def end(self, ref, reason=0, text=None):
        if self.agents.get(ref):
            _, name, watchers = self.agents[ref]
            self.agents[ref] = None
            self.names.pop(name, None)
            for (who, handle), kind in watchers.items():
                self.put(kind, who, ref, handle, reason, text)

    def send(self, sender, to, message):
        if to[0] in self.links:
            self.put(SEND, to, sender, *self.body(to[0], message))

    def request(self, sender, to, message, then):
        """`then` gets the answer, (type, fields), or an error number: a Failure, if it came with words."""
        if to[0] not in self.links:
            return then(ENODEDOWN)
        self.handles += 1
        self.pending[self.handles] = [to[0], then]
        self.put(REQUEST, to, sender, self.handles, *self.body(to[0], message))

    def monitor(self, sender, agent, then):
        """`then(reason, text)` is called when that agent ends."""
        self.handles += 1
        self.watches[self.handles] = (agent[0], then)
        self.put(WATCH, agent, sender, self.handles)

    def find(self, address, name, then, until=float("inf")):
        """Connects, and gives `then` the agent's ref, or an error number; nothing if nobody answers there in time."""
        self.connect(address)
        while not (link := self.links.get(self.dials[address][2])) or not link.ready:
            if time.monotonic() > until:
                return
            self.run(0.01)
        self.request(self.whereis, link.agent, WHEREIS(name=name),
                     lambda got: then(got if isinstance(got, int) else tuple(got[1]["agent"])))

    def locate(self, message, _sender):
        ref = self.names.get(message[1]["name"]) if message[0] is WHEREIS else None
        return LOCATED(agent=ref) if ref else ENOENT

    # ---- going out ----

    def put(self, kind, to, sender, *rest):
        if to[0] in self.links:
            self.links[to[0]].put(kind, short(to, to[0]), short(sender, self.node), *rest)

    def body(self, node, message):
        """What a message is in an item, after its type was offered if need be: its index, its fields."""
        link, type_ = self.links[node], message[0]
        if type_.name not in link.offered or type_.name in link.refused:
            index = link.offered.setdefault(type_.name, len(link.offered))
            link.refused.discard(type_.name)
            link.put(TYPE, index, type_.name, type_.layout)
        return link.offered[type_.name], wire(message)

    def flush(self, link):
        if link.ready and link.items:
            link.sent += 1
            link.kept[link.sent], link.items = b"".join(link.items), []
            self.say(link, [DATA, link.sent, link.received], link.kept[link.sent])

    def say(self, link, head, items=b""):
        link.connection.send(msgpack.packb(head) + items)
        link.told, link.spoken = link.received, time.monotonic()

    # ---- connections ----

    def connect(self, address):
        self.dials.setdefault(address, [None, 0, None])

    def dial(self, address):
        socket = self.context.socket(zmq.DEALER)
        socket.setsockopt(zmq.RECONNECT_IVL, 86_400_000)  # it never connects again by itself
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(address)
        self.poller.register(socket, zmq.POLLIN)
        self.dialed[socket] = self.dials[address][0] = Connection(socket, address)
        self.hello(self.dialed[socket])

    def hang_up(self, connection):
        link = connection.link
        if link and link.connection is connection:
            link.since = time.monotonic() if link.ready else link.since
            link.connection, link.ready = None, False
        if connection.identity:
            self.accepted.pop(connection.identity, None)
        else:
            self.poller.unregister(connection.socket)
            self.dialed.pop(connection.socket)
            connection.socket.close()
            self.dials[connection.address][:2] = [None, time.monotonic() + RETRY]

    def hello(self, connection):
        self.hellos = connection.said = self.hellos + 1
        connection.send(msgpack.packb([HELLO, VERSION, VERSION, *self.whereis, self.name, [self.address],
                                       int(BEAT * 1000), self.hellos, READS]))

    def hello_came(self, connection, version, least, node, slot, generation, _name, _addresses, beat, count, *_later):
        if least > VERSION or version < 1 or node == self.node:
            connection.send(msgpack.packb([REJECT, EFORMAT if node != self.node else EEXIST, "not with this one"]))
            return self.hang_up(connection)
        link = self.links.setdefault(node, Link(node))
        if connection.address:
            before, self.dials[connection.address][2] = self.links.get(self.dials[connection.address][2]), node
            if before and before.node != node:  # at whose address there is another one now
                self.leave(before)
        else:
            self.hello(connection)
        old, connection.heard = link.connection, count
        if old:
            if bool(old.address) == bool(connection.address):
                wins = not old.later(connection)
            else:
                wins = connection.later(old) or \
                    not old.later(connection) and (self.node < node) == bool(connection.address)
            if not wins:
                return self.hang_up(connection)
            self.hang_up(old)
        connection.link, link.connection, link.agent, link.beat = link, connection, (node, slot, generation), beat / 1000
        self.join(link)

    def join(self, link):
        link.connection.send(msgpack.packb([SESSION, link.mine, link.yours, link.received]))

    def session_came(self, link, theirs, ours, received):
        over = link.yours not in (0, theirs)
        if over:
            self.down(link)
        agreed = ours == 0 or (ours == link.mine and not over)
        link.yours = theirs if agreed else link.yours
        if over:
            self.join(link)
        if agreed:
            link.ready, link.heard = True, time.monotonic()
            link.acknowledge(received)
            for number in sorted(link.kept):
                self.say(link, [DATA, number, link.received], link.kept[number])

    def down(self, link):
        for waiting, arguments in ((self.pending, (ENODEDOWN,)), (self.watches, (ENODEDOWN, None))):
            for handle in [handle for handle, (node, _) in waiting.items() if node == link.node]:
                waiting.pop(handle)[1](*arguments)
        link.reset()

    # ---- what comes in ----

    def frame_came(self, connection, frame):
        if checksum(frame[:-4]) != frame[-4:]:
            return self.hang_up(connection)
        head, *items = msgpack.Unpacker(io.BytesIO(frame[:-4]))
        kind, link = head[0], connection.link
        if link is None:
            if kind == HELLO:
                self.hello_came(connection, *head[1:])
            return
        link.heard = time.monotonic()
        if kind == SESSION:
            self.session_came(link, *head[1:])
        elif kind == PING:
            link.acknowledge(head[1])
        elif kind == DATA:
            link.acknowledge(head[2])
            if head[1] == link.received + 1:
                link.received += 1
                for item in items:
                    if link.connection:
                        self.item_came(link, *item)
        else:
            self.leave(link)

    def leave(self, link):
        """The session is over, and the connection with it."""
        if link.connection:
            self.hang_up(link.connection)
        self.down(link)
        del self.links[link.node]

    def item_came(self, link, kind, *rest):
        if kind == TYPE:
            index, name, layout = rest
            known = self.known.get(name)
            link.types[index] = known if known and known.fits(layout) else None
            if link.types[index] is None:
                link.put(REFUSED, index, known.layout if known else "")
        elif kind == REFUSED:
            name = next(name for name, index in link.offered.items() if index == rest[0])
            link.refused.add(name)
            if name not in link.complained:  # each message of it may be refused
                said = f"has {name} as {{{rest[1]}}}" if rest[1] else f"does not know {name}"
                print(f"the other node {said}: what is sent of it is lost, a request fails", file=sys.stderr)
            link.complained.add(name)
        elif kind in (BODY, SHARED):
            if not link.part_came(kind, *rest):
                self.leave(link)
        elif kind == FORGET:
            link.bodies.pop(rest[0], None)
        elif kind == NODE and rest[0] != self.node and rest[2] and rest[0] not in self.links:
            self.links[rest[0]] = Link(rest[0])  # refs to it may come before its hello: what is sent to them waits
            self.connect(rest[2][0])
        elif SEND <= kind <= KILL:
            to, sender = full(rest[0], self.node), full(rest[1], link.node)
            self.word_came(link, kind, to, sender, *rest[2:])

    def word_came(self, link, kind, to, sender, *rest):
        handler, _, watchers = self.agents.get(to) or (None, None, {})
        if kind in (SEND, REQUEST):
            handle, (index, body) = (rest[0], rest[1:]) if kind == REQUEST else (None, rest)
            type_, body = link.types.get(index), link.body_of(kind, body)
            if body is None:
                return
            answer = EGONE if not handler else ETYPE if type_ is None else handler(type_.read(body), sender)
            if kind == REQUEST and isinstance(answer, tuple) and sender[0] in self.links:
                self.put(REPLY, sender, to, handle, *self.body(sender[0], answer))
            elif kind == REQUEST:
                self.put(ERROR, sender, to, handle, ENOREPLY if answer is None else answer)
        elif kind == MOVED and rest[0] in self.pending:
            self.pending[rest[0]][0] = sender[0]
        elif kind in (REPLY, ERROR) and rest[0] in self.pending:
            type_, body = (link.types.get(rest[1]), link.body_of(kind, rest[2])) if kind == REPLY else (None, rest[1])
            if body is not None:
                answer = body if kind == ERROR else type_.read(body) if type_ else ETYPE
                failed = kind == REPLY and type_ is FAILURE
                self.pending.pop(rest[0])[1](Failure(**answer[1]) if failed else answer)
        elif kind in (WATCH, LINK):
            end = DOWN if kind == WATCH else EXIT
            if not handler:
                self.put(end, sender, to, rest[0], EGONE, None)
            else:
                watchers[sender, rest[0]] = end
        elif kind == UNWATCH:
            watchers.pop((sender, rest[0]), None)
        elif kind == DOWN and rest[0] in self.watches:
            self.watches.pop(rest[0])[1](*rest[1:])
        elif kind in (UNLINK, EXIT):
            linked = [entry for entry, end in watchers.items() if entry[0] == sender and end == EXIT]
            for entry in linked:
                del watchers[entry]
            if kind == EXIT and linked and rest[1]:
                self.end(to, rest[1])
        elif kind in (SHUTDOWN, KILL):
            self.end(to, ESHUTDOWN if kind == SHUTDOWN else EKILLED)

    # ---- the round ----

    def run(self, seconds):
        """Does what there is to be done for some time, or until a frame has come."""
        for socket, _ in self.poller.poll(seconds * 1000):
            if socket is self.router:
                identity, frame = socket.recv_multipart()
                connection = self.accepted.setdefault(identity, Connection(socket, identity=identity))
                self.frame_came(connection, frame)
            elif socket in self.dialed:
                self.frame_came(self.dialed[socket], socket.recv())
        now = time.monotonic()
        for address, (connection, due, node) in list(self.dials.items()):
            joined = node in self.links and self.links[node].connection
            if connection is None and not joined and now >= due:
                self.dial(address)
            elif connection and connection.link is None and now > connection.begun + 1:
                self.hang_up(connection)
        for link in list(self.links.values()):
            self.flush(link)
            if link.ready and now > link.heard + 3 * BEAT:
                self.hang_up(link.connection)
            elif link.ready and (now >= link.spoken + link.beat or link.told != link.received):
                self.say(link, [PING, link.received, link.sent])
            elif not link.ready and now > link.since + PATIENCE:
                self.down(link)
                link.since = now

    def close(self):
        """Waits until all is acknowledged, then leaves."""
        until = time.monotonic() + PATIENCE
        while any(link.kept or link.items for link in self.links.values()) and time.monotonic() < until:
            self.run(0.01)
        for connection in [*self.accepted.values(), *self.dialed.values()]:
            if connection.said:
                connection.send(msgpack.packb([BYE]))
        self.context.destroy(linger=300)
