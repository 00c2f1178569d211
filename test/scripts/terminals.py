#!/usr/bin/env python3
"""Types what a page of the docs says into terminals, and holds what they print against the page: terminals.py PAGE BUILD.

A block of code whose lines begin with `1$ ` or `2$ ` is what one terminal shows: commands behind the prompt, and what they
print below. `…` in the page stands for anything. `^C` is that key. A block that begins with output is what a command of an
earlier block has printed since.

A command that is interrupted, whose output comes later, or that is its terminal's last, is left running; in
the end all have their prompts back.
"""
import os
import pty
import re
import select
import signal
import sys
import tempfile
import time

READY = "<ready>"
PATIENCE = 60


def steps(page):
    """(terminal, command or None, lines) in the page's order."""
    for block in re.findall(r"^```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        terminal = re.search(r"^(\d)\$ ", block, re.MULTILINE)
        if not terminal:
            continue
        command, lines = None, []
        for line in block.splitlines():
            if re.match(r"\d\$ ", line):
                if command is not None or lines:
                    yield terminal[1], command, lines
                command, lines = line[3:], []
            else:
                lines.append(line)
        yield terminal[1], command, lines


class Terminal:
    def __init__(self, name):
        self.name, self.rest, self.lines, self.ready = name, "", [], 0
        self.pid, self.file = pty.fork()
        if not self.pid:
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"],
                       {**os.environ, "PS1": READY + "\n", "TERM": "dumb"})
        self.wait_ready()
        self.type("stty -echo\n")
        self.wait_ready()
        self.lines = []  # the echo of that

    def type(self, text):
        os.write(self.file, text.encode())

    def read(self, until):
        if not select.select([self.file], [], [], max(0, until - time.monotonic()))[0]:
            sys.exit(f"terminal {self.name}: nothing more came in {PATIENCE} s; there are {self.lines}")
        self.rest += os.read(self.file, 65536).decode()
        *lines, self.rest = self.rest.replace("\r", "").split("\n")
        for line in lines:
            if line.endswith(READY):
                self.ready += 1
                line = line[:-len(READY)]
            if line and not re.match(r"\[\d+\]", line):  # what the shell says of its jobs
                self.lines.append(line)

    def wait_ready(self):
        until = time.monotonic() + PATIENCE
        while not self.ready:
            self.read(until)
        self.ready -= 1

    def expect(self, wanted):
        until = time.monotonic() + PATIENCE
        while not self.lines:
            self.read(until)
        line = self.lines.pop(0)
        if not re.fullmatch(".*".join(re.escape(part) for part in wanted.split("…")), line):
            sys.exit(f"terminal {self.name} says\n{line}\nnot\n{wanted}")

    def close(self):
        os.close(self.file)  # hangs up: the shell ends, and its jobs with it
        os.kill(self.pid, signal.SIGHUP)
        os.waitpid(self.pid, 0)


def play(page, terminals):
    script = list(steps(page))
    for place, (name, command, lines) in enumerate(script):
        terminal = terminals[name]
        later = next((step[1] for step in script[place + 1:] if step[0] == name), None)
        if command == "^C":
            terminal.type("\x03")
        elif command is not None:
            print(f"{name}$ {command}", flush=True)
            terminal.type(command + "\n")
        for line in lines:
            terminal.expect(line)
        if later not in (None, "^C"):  # else it is left running
            terminal.wait_ready()
        if terminal.lines:
            sys.exit(f"terminal {name} also says {terminal.lines}")
    for terminal in terminals.values():
        terminal.wait_ready()
    return len(script)


def main():
    for name in ("SOMA_AT", "SOMA_NAMESERVICE"):
        os.environ.pop(name, None)
    root = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
    page, build = open(sys.argv[1], encoding="utf-8").read(), os.path.realpath(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:  # looks like Soma's, with this build as the release
        os.mkdir(f"{folder}/build")
        os.symlink(build, f"{folder}/build/release")
        os.symlink(f"{root}/examples", f"{folder}/examples")
        os.chdir(folder)
        terminals = {name: Terminal(name) for name in sorted({step[0] for step in steps(page)})}
        try:
            print("all", play(page, terminals), "steps are as the page says")
        finally:
            for terminal in terminals.values():
                terminal.close()


main()
