"""A client of a name server for soma_peer.py: what nameservice/protocol.h says, without a cache and watches.

What is registered stays so until the client is closed or its agent ends; when the name server is lost, the client looks
for it again at its address, and registers all anew. All happens in Names.run(), in place of Peer.run(). Timeouts are in
seconds.
"""
import time

from soma_peer import ENOENT, ETIMEOUT, Message

NAMESERVER = "soma.nameserver"
ALIAS = Message("soma_alias", "string alias,string address")
NAME = Message("soma_name", "string name,ref agent,value attributes,[soma_alias] aliases", soma_alias=ALIAS)
HELLO = Message("ns_hello")
WELCOME = Message("ns_welcome", "bool settled")
BYE = Message("ns_bye")
PUT = Message("ns_put", "soma_name name,bool takeover", soma_name=NAME)
REGISTERED = Message("soma_name_registered", "i32 error,ref holder")
LOOKUP = Message("ns_lookup", "string name,bool keep")
FOUND = Message("ns_found", "bool there,bool kept,bool behind,soma_name name", soma_name=NAME)
ITEM = Message("ns_item", "bool there,soma_name name", soma_name=NAME)
NEWS = Message("ns_news", "bool reset,bool settled,u64 watch,bool begins,bool ends,[ns_item] items", ns_item=ITEM)
HEARD = Message("ns_heard")
LOST = Message("ns_lost", "string name,ref agent,ref holder")


class Names:
    def __init__(self, peer, address):
        self.peer, self.address, self.server, self.settled, self.put = peer, address, None, False, {}
        peer.register(WELCOME, REGISTERED, FOUND, NEWS, LOST)
        self.agent = peer.spawn(self.told)

    def told(self, message, sender):
        """The client's agent."""
        kind, fields = message
        if kind is NEWS:
            self.settled = fields["settled"]
            self.peer.send(self.agent, sender, HEARD())
        elif kind is LOST:
            self.put.pop(fields["name"], None)

    def ask(self, message, until):
        """The answer, or an error number, once there is one; None if the server is lost first."""
        answers = []
        self.peer.request(self.agent, self.server, message, answers.append)
        while not answers and self.server:
            if time.monotonic() > until:
                return ETIMEOUT
            self.peer.run(0.02)
        return answers[0] if answers and self.server else None  # its loss is told to who waits for it, too

    def seek(self, until):
        """Begins a session with the server, and puts what was registered before."""
        found = []
        self.peer.find(self.address, NAMESERVER, found.append, until)
        while not found and time.monotonic() < until:
            self.peer.run(0.02)
        if not found or isinstance(found[0], int):
            self.peer.run(0.05)
            return
        self.server = found[0]
        self.peer.monitor(self.agent, self.server, self.lost)
        welcome = self.ask(HELLO(), until)
        self.settled = isinstance(welcome, tuple) and welcome[1]["settled"]
        for entry in list(self.put.values()):
            self.ask(entry, until)

    def lost(self, _reason, _text):
        self.server = None

    def insist(self, message, until):
        """As ask(), but looks for the server until there is an answer."""
        while time.monotonic() < until:
            if not self.server:
                self.seek(until)
            elif (answer := self.ask(message, until)) is not None:
                return answer
        return ETIMEOUT

    def register(self, name, agent, timeout=20, attributes=None, takeover=False):
        """0, or an error number, and who has the name now: EEXIST, and another agent, or the same by another client; None
        if nobody could say."""
        entry = NAME(name=name, agent=agent, attributes=attributes)
        answer = self.insist(PUT(name=entry, takeover=takeover), time.monotonic() + timeout)
        if isinstance(answer, int):
            return answer, None
        if not answer[1]["error"]:
            self.put[name] = PUT(name=entry, takeover=False)  # once is enough
        return answer[1]["error"], tuple(answer[1]["holder"])

    def wait(self, name, timeout=20):
        """The agent of that name, or an error number: ENOENT if it did not come in time."""
        until, error = time.monotonic() + timeout, ETIMEOUT
        while time.monotonic() < until:
            answer = self.insist(LOOKUP(name=name), until)
            if not isinstance(answer, int) and answer[1]["there"]:
                return tuple(answer[1]["name"]["agent"])
            error = answer if isinstance(answer, int) else ENOENT if self.settled else ETIMEOUT
            self.peer.run(0.05)
        return error

    def run(self, seconds):
        if not self.server:
            self.seek(time.monotonic() + seconds)
        self.peer.run(seconds)

    def close(self):
        if self.server:
            self.peer.send(self.agent, self.server, BYE())
        self.peer.end(self.agent)
