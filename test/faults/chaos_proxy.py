#!/usr/bin/env python3
"""A TCP proxy that does harm, for the fault tests.

chaos_proxy.py NAME=LISTEN_PORT:PORT...

Each way is known by its name. It is told what to do by lines on its standard input, and answers each with "ok":
  NAME delay MILLISECONDS   from now on bytes arrive so much later
  NAME rate BYTES           from now on at most so many pass a second, each way; 0: as many as come
  NAME stall | go           nothing passes; all passes again
  NAME cut                  ends all connections in the middle of what they carry
  NAME reset                ends them with RST
  NAME refuse | accept      new connections are reset at once, and the present ones, too; they are taken again
  NAME mute | speak         connections end, new ones are taken, but never answered; later ones are again
  NAME flip                 one bit of the next bytes that pass is another one
"""
import asyncio
import contextlib
import random
import socket
import struct
import sys

CHUNK = 1 << 16


class Way:
    def __init__(self, name, listen, port):
        self.name, self.listen, self.port = name, listen, port
        self.delay = self.rate = self.flips = 0
        self.open = asyncio.Event()
        self.open.set()
        self.refusing = self.muted = False
        self.cutting = False
        self.writers = set()

    async def serve(self):
        await asyncio.start_server(self.accept, "127.0.0.1", self.listen, limit=CHUNK)

    def abort(self, reset):
        for writer in list(self.writers):
            if reset:
                with contextlib.suppress(OSError):  # one that was just closed
                    writer.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def accept(self, reader, writer):
        self.writers.add(writer)
        try:
            if self.refusing:
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            if self.muted:
                await reader.read()  # to its end, and nobody answers
                return
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.port, limit=CHUNK)
            self.writers.add(there_writer)
            try:
                pumps = [asyncio.create_task(self.pump(reader, there_writer)),
                         asyncio.create_task(self.pump(there_reader, writer))]
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
            finally:
                self.writers.discard(there_writer)
                there_writer.transport.abort()
        except OSError:
            pass
        finally:
            self.writers.discard(writer)
            writer.transport.abort()

    async def pump(self, reader, writer):
        """From one side to the other: bytes wait in a queue until they are due."""
        queue = asyncio.Queue(64)
        last = asyncio.create_task(self.write(queue, writer))
        loop = asyncio.get_running_loop()
        try:
            while not last.done() and (data := await reader.read(CHUNK)):
                await queue.put((loop.time() + self.delay / 1000, data))
            await queue.put((0, b""))
            await last
        except OSError:
            pass
        finally:
            last.cancel()

    async def write(self, queue, writer):
        loop = asyncio.get_running_loop()
        while True:
            due, data = await queue.get()
            if not data:
                return
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            await self.open.wait()
            if self.flips:
                self.flips -= 1
                data = bytearray(data)
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            if self.cutting:  # half of it still passes
                self.cutting = False
                writer.write(data[:len(data) // 2])
                asyncio.get_running_loop().call_later(0.01, self.abort, False)
                await asyncio.sleep(60)
            writer.write(data)
            await writer.drain()
            if self.rate:
                await asyncio.sleep(len(data) / self.rate)

    def do(self, verb, number):
        if verb in ("delay", "rate"):
            setattr(self, verb, number)
        elif verb == "stall":
            self.open.clear()
        elif verb == "go":
            self.open.set()
        elif verb == "flip":
            self.flips += 1
        elif verb == "cut":
            self.cutting = True
        elif verb == "reset":
            self.abort(True)
        elif verb in ("refuse", "accept"):
            self.refusing = verb == "refuse"
            self.abort(self.refusing)
        elif verb in ("mute", "speak"):
            self.muted = verb == "mute"
            if self.muted:
                self.abort(False)
        else:
            raise ValueError(verb)


async def main():
    ways = {}
    for argument in sys.argv[1:]:
        name, ports = argument.split("=")
        listen, port = map(int, ports.split(":"))
        ways[name] = Way(name, listen, port)
        await ways[name].serve()
    print("ready", flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode():
        name, verb, *rest = line.split()
        ways[name].do(verb, int(rest[0]) if rest else 0)
        print("ok", flush=True)


asyncio.run(main())
