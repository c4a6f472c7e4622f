"""A real IPython in a real terminal: what a user sees there, and what Ctrl-C does."""

import json
import os
import pty
import re
import subprocess
import sys
import threading
import time

import pytest

from nbstream.testing import Answer, Gate

PROMPT = re.compile(r"In \[\d+\]: $")
#: Becomes the leader of a session whose terminal is stdin, as a shell in a window is: Ctrl-C then is a signal.
LEADER = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " os.execv(sys.executable, [sys.executable, '-m', 'IPython', '--simple-prompt', '--no-banner', '--no-confirm-exit',"
    " '--colors=NoColor'])"
)


class Terminal:
    """The window: what is on it, and a keyboard."""

    def __init__(self, environment) -> None:
        self.screen = ""
        self._changed = threading.Condition()
        self._master, slave = pty.openpty()
        self._ipython = subprocess.Popen(
            [sys.executable, "-c", LEADER], stdin=slave, stdout=slave, stderr=slave, env=environment
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def see(self, what: str, within_s: float = 20.0) -> None:
        """Wait until *what* is on the screen."""
        self._wait(lambda: what in self.screen, what, within_s)

    def run(self, *lines: str) -> str:
        """Type a cell, wait for the next prompt, and return what came in between."""
        self.begin(*lines)
        return self.prompt()

    def begin(self, *lines: str) -> None:
        """Type a cell; a cell magic ends with two empty lines."""
        self.screen = ""
        self.type("".join(f"{line}\n" for line in lines) + ("\n\n" if lines[0].startswith("%%") else ""))

    def prompt(self, within_s: float = 20.0) -> str:
        """Wait for a prompt; return what stands before it."""
        self._wait(lambda: PROMPT.search(self.screen), "a prompt", within_s)
        return self.screen

    def close(self) -> int:
        """Leave IPython; return its exit code."""
        self.type("exit\n")
        try:
            return self._ipython.wait(20)
        finally:
            self._ipython.kill()
            self._ipython.wait()
            self._reader.join()
            os.close(self._master)

    def _wait(self, true, what: str, within_s: float) -> None:
        with self._changed:
            assert self._changed.wait_for(true, within_s), f"no {what!r} on the screen: {self.screen!r}"

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the last process has left the terminal
                return
            with self._changed:
                self.screen += data.decode(errors="replace")
                self._changed.notify_all()


@pytest.fixture
def terminal(home):
    """Return a terminal with an IPython in it, the extension loaded."""
    environment = {**os.environ, "NBSTREAM_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    terminal = Terminal(environment)
    try:
        terminal.prompt()
        assert "Error" not in terminal.run("%load_ext nbstream")
        yield terminal
    finally:
        assert terminal.close() == 0


def delta(text: str) -> str:
    """Return a frame in our own format."""
    return f"data: {json.dumps({'type': 'delta', 'text': text})}\n\n"


DONE = "event: done\ndata: {}\n\n"


def test_text_is_on_the_screen_while_it_arrives(terminal, server):
    """Each piece is shown before the next one is sent; the state line comes last, then the prompt."""
    gate = Gate()
    server.script([Answer.sse(delta("first half, "), gate, delta("second half"), DONE)])
    terminal.begin(f"%stream --url {server.url}/x")
    terminal.see("first half, ")
    assert "second" not in terminal.screen
    gate.open()
    said = terminal.prompt()
    assert "first half, second half\r\n" in said
    assert "[complete · 23 characters" in said


def test_ctrl_c_stops_the_call_and_returns_to_the_prompt(terminal, server):
    """Ctrl-C: the connection is closed at once, what came is kept, one line says so, the next cell runs."""
    gate = Gate()
    server.script([Answer.sse(delta("so far"), gate)])
    terminal.begin(f"%stream --url {server.url}/x")
    terminal.see("so far")
    gate.wait()
    began = time.monotonic()
    terminal.type("\x03")
    server.wait_closed(1.0)
    assert time.monotonic() - began < 0.5
    said = terminal.prompt()
    assert "[stopped by you · 6 characters" in said
    assert "stopped by Interrupt; what came is saved as stream " in said
    assert "Traceback" not in said
    assert "42" in terminal.run("print(6 * 7)")
    said = terminal.run("%stream show")
    assert "so far" in said
    assert "Error" not in said
    assert len(server.requests) == 1


def test_nothing_a_model_says_is_obeyed_by_the_terminal(terminal, server):
    """Escape sequences (also one cut by the end of a piece), carriage returns, bells are taken out; text stays."""
    nasty = ["\x1b[2Jred\x1b[", "31m apple\r\x07", "\x1b]0;owned\x07 \x1b]52;c;aGk=\x07pear\x9b31m", "\u202e fig"]
    server.script([Answer.sse(*map(delta, nasty), DONE)])
    said = terminal.run(f"%stream --url {server.url}/x")
    shown, _, line = said.partition("[complete")
    shown = shown.rpartition("/x\r\n")[2].replace("\x1b[2m", "").replace("\x1b[22m", "")
    assert shown == "red apple pear fig\r\n"
    assert "\x07" not in line


def test_the_answer_is_bound_to_a_name(terminal):
    """A prompt in a cell, its answer from the demo model on the screen, and in a variable."""
    said = terminal.run("%%stream --to answer -p tokens_per_s=0 -p max_tokens=6", "What is a log?")
    assert "You asked: `What is a log?`" in said
    assert "'You asked: `What is a log?`" in terminal.run("answer")
