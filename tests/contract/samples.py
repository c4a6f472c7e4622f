"""Records and processes for the tests of the stores."""

import subprocess
import sys
import time

from nbstream.records import Close, Delta, Open, Part

#: What a child process runs: one expression a line, and one line back with its value or its error.
CHILD = """
import sys
from samples import a_close, a_delta, an_open
from nbstream.log.stores import open_store

store = open_store(sys.argv[1])
kept = []  # locks live as long as the process

def began(started):
    return started.log.stream, started.lock is not None

print("ready", flush=True)
for line in sys.stdin:
    try:
        print(repr(eval(line)), flush=True)
    except Exception as exc:
        print(f"{type(exc).__name__}: {exc}", flush=True)
"""


def an_open(stream="s1", key="k", intent="new"):
    """Return an `open` record."""
    return Open(stream, key, intent, {"kind": "demo"}, "fp", "writer", "host", "boot", 1.0)


def a_delta(text="text", sequence=1):
    """Return a `delta` of one text part."""
    return Delta((Part("text", text, sequence=sequence),), at=2.0)


def a_close(how="complete", error=None):
    """Return a `close`."""
    return Close(how, at=3.0, error=error)


def until(true, what, within_s=20.0):
    """Wait until *true* says so."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, f"not within {within_s} s: {what}"
        time.sleep(0.01)


class Child:
    """Another process with the same store."""

    def __init__(self, address):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(address)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=__file__.rpartition("/")[0],
        )
        assert self.process.stdout.readline() == "ready\n"

    def send(self, expression):
        self.process.stdin.write(expression + "\n")

    def answer(self):
        return self.process.stdout.readline().strip()

    def do(self, expression):
        self.send(expression)
        return self.answer()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
