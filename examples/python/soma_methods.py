"""Methods and attributes for soma_peer.py: agents that have them, as those in C do (soma/method.h, soma/attribute.h), and
asking for those of others.

    def fill(litres):
        "adds litres, gives how many there are"

    tank = {"place": "cellar", "litres": 0}
    me = peer.spawn(methods(peer, {"fill": fill}, attributes=tank, settable=("place",)))

    other = Proxy(peer, me, found)  # found: from Peer.find() or Names.wait()
    other.call("fill", 5, timeout=10)
    other.get("litres"), other.get(), other.set({"place": "roof"})

All timeouts here are in seconds. (Where a method of an agent in C takes one among its arguments, as `soma.connect` and
`soma.request` do, that is nanoseconds.)
"""
import time

from soma_peer import EINVAL, ENOENT, ESTATE, ETIMEOUT, ETYPE, FAILURE, Failure, Message

INVOKE = Message("soma_invoke", "string method,value arguments")
RESULT = Message("soma_result", "value value")


class SomaError(Exception):
    """What an agent has failed a call with: `number`, and its words."""

    def __init__(self, error):
        self.number = int(error)
        super().__init__(getattr(error, "text", None) or f"error {self.number}")


class Proxy:
    """An agent that is asked for its methods and attributes. Each function waits for the answer, while peer.run() goes
    on, so not from an agent's handler; it raises SomaError, with ETIMEOUT if none has come in time."""

    def __init__(self, peer, asker, agent):
        """`asker` is an agent of the peer's, in whose name it asks."""
        peer.register(INVOKE, RESULT)
        self.peer, self.asker, self.agent = peer, asker, agent

    def call(self, method, arguments=None, timeout=5):
        until, answers = time.monotonic() + timeout, []
        self.peer.request(self.asker, self.agent, INVOKE(method=method, arguments=arguments), answers.append)
        while not answers:
            if time.monotonic() > until:
                raise SomaError(Failure(ETIMEOUT, f"nobody has answered in {timeout} s"))
            self.peer.run(0.02)
        if isinstance(answers[0], int):
            raise SomaError(answers[0])
        return answers[0][1]["value"]

    def get(self, name=None, timeout=5):
        """An attribute; without a name a dict of all."""
        return self.call("soma.get", name, timeout)

    def set(self, values, timeout=5):
        """Sets those of a dict, in its order. The first that can't be set ends it."""
        self.call("soma.set", values, timeout)


class Failed(Exception):
    """Raised in a method, it fails the call with this error number and these words."""


def attribute_methods(behavior, attributes, settable):
    def named(name):
        if name not in attributes:
            raise Failed(ENOENT, f"'{behavior}' has no attribute '{name}'")
        return name

    def get(name):
        if name is not None and not isinstance(name, str):
            raise Failed(ETYPE, "soma.get wants the name of an attribute")
        return dict(attributes) if name is None else attributes[named(name)]

    def set_(values):
        if not isinstance(values, dict):
            raise Failed(ETYPE, "soma.set wants a map of attributes")
        for name, value in values.items():
            before = attributes[named(name)]
            if name not in settable:
                raise Failed(ESTATE, f"attribute '{name}' is only read")
            if before is not None and type(value) is not type(before):
                raise Failed(ETYPE, f"attribute '{name}' is of type {type(before).__name__}")
            attributes[name] = value

    return {"soma.get": get, "soma.set": set_}


def methods(peer, table, behavior="python", attributes=None, settable=()):
    """An agent's handler that has these methods, functions of a value, and attributes, a dict that they may share; those
    in `settable` may be set from outside, to a value of the type that they have. What a method raises is an error for
    who called, and not the end."""
    peer.register(INVOKE, RESULT)
    attributes = {} if attributes is None else attributes
    shown = [{"name": name, "about": (method.__doc__ or "").partition("\n")[0]} for name, method in table.items()]

    def describe(_):
        rows = [{"name": name, "type": "value", "settable": name in settable, "about": None} for name in attributes]
        return {"behavior": behavior, "methods": shown, "attributes": rows}

    table = {"soma.ping": lambda _: None, "soma.describe": describe,
             **attribute_methods(behavior, attributes, settable), **table}

    def handler(message, _sender):
        if message[0] is not INVOKE:
            return ETYPE
        name, arguments = message[1]["method"], message[1]["arguments"]
        if name not in table:
            return FAILURE(error=ENOENT, text=f"'{behavior}' has no method '{name}'")
        try:
            return RESULT(value=table[name](arguments))
        except Failed as error:
            return FAILURE(error=error.args[0], text=error.args[1])
        except Exception as error:  # whatever it is
            return FAILURE(error=ETYPE if isinstance(error, TypeError) else EINVAL, text=str(error))
    return handler
