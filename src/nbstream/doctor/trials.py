"""What survives here, by trying: a process that is killed while it streams, and a call that is stopped."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
import time
from concurrent.futures import TimeoutError as LateError
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from nbstream import api, words
from nbstream.demo import DemoModel, DemoServer
from nbstream.doctor.check import Check
from nbstream.errors import Fenced, StreamError
from nbstream.log.memory import MemoryStore
from nbstream.log.stores import open_store
from nbstream.options import options
from nbstream.sources.models.chat import chat
from nbstream.stopping import STOP_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nbstream.stream import Stream

PROMPT = "What does a doctor listen for?"
#: About 700 characters in 1.5 s: long enough to be killed in the middle of.
TOKENS, TOKENS_PER_S = 150, 100
#: The process is killed once it has shown so many bytes.
SHOWN = 150
#: How long anything here may take before it counts as not working.
LATE_S = 20.0

#: Exit code of a process whose call no relay makes.
REFUSED = 3
#: What is killed: it prints the stream's id and every piece, as a cell would.
VICTIM = f"""
import asyncio, sys, nbstream
from nbstream.errors import RelayError
async def main():
    source = nbstream.chat({PROMPT!r}, "demo:", max_tokens={TOKENS}, tokens_per_s={TOKENS_PER_S})
    try:
        stream = nbstream.start(source)
    except RelayError as exc:
        print(exc, file=sys.stderr)
        sys.exit({REFUSED})
    print(stream.id, flush=True)
    async for part in stream:
        print(part.text, end="", flush=True)
asyncio.run(main())
"""


def checks() -> list[Check]:
    """Try both; a fault of ours or of the machine's is a problem in one line."""
    try:
        saved = not isinstance(open_store(options().store or None), MemoryStore)
    except (StreamError, ValueError):
        return []  # `installed` says why there is no store
    killed = _tried("restart", restart) if saved else Check("restart", "nothing survives: the store is in memory")
    return [killed, _tried("stop", stop)]


def _tried(name: str, trial: Callable[[], Check]) -> Check:
    try:
        return trial()
    except (StreamError, OSError, TimeoutError, LateError) as exc:
        return Check(name, "tried", " ".join(f"{type(exc).__name__}: {exc}".split()))


def restart(victim: str = VICTIM) -> Check:
    """Kill a process while it streams; look whether all it showed is saved, and whether the answer becomes whole."""
    began = time.monotonic()
    stream, shown, code = _killed(victim)
    if stream is None and code == REFUSED and options().relay:
        # It need not call the demo model. What else it refuses us is said of the relay itself.
        return Check("restart", f"not tried: {shown}", known=False)
    if stream is None:
        return Check("restart", "tried", f"a process that streams cannot be started: {shown}")
    with _deleted(stream):
        saved = stream.text
        if not saved.startswith(shown):
            return Check("restart", "tried", f"of {len(shown)} characters that a killed process had shown, not all are "
                         f"saved (stream {stream.id}); report this as a bug")  # fmt: skip
        api.resume(stream).wait(LATE_S)
        if stream.text != DemoModel().text(PROMPT, max_tokens=TOKENS):
            return Check("restart", "tried", f"all {len(shown)} characters that a killed process had shown are saved, "
                         f"but the answer did not go on: {stream}")  # fmt: skip
        cut = stream.store.status(stream.id).opened > 0
        went = "was cut and went on behind them" if cut else "went on in the relay, uncut"
        return Check("restart", f"tried: a process was killed as it streamed; the {len(shown)} characters it had shown "
                     f"are saved, the call {went}, the answer is whole ({time.monotonic() - began:.1f} s)")  # fmt: skip


def stop() -> Check:
    """Stop a call, and ask the server that answered it when its connection was closed."""
    with DemoServer() as server:
        # A key of its own, and in memory (which only the kernel can record in): nothing of the user's is touched.
        source = chat(PROMPT, "demo", base_url=f"{server.url}/v1", max_tokens=100_000, tokens_per_s=TOKENS_PER_S)
        stream = api.start(source, key=_name(), save=False, host="kernel")
        _until(lambda: stream.text or not stream.state.live, "the first text")
        pressed = time.monotonic()
        stream.stop()
        _until(lambda: not server.open_connections, "the server to see its connection closed")
        took = time.monotonic() - pressed
        state = stream.wait(STOP_S)
    if state != "stopped":
        return Check("stop", "tried", f"a stopped stream is {words.plain(str(stream))}")
    return Check("stop", f"tried: the server saw its call closed {took * 1000:.0f} ms after Stop")


def _killed(victim: str) -> tuple[Stream | None, str, int]:
    """Return the stream of a process that was killed, what it had shown (else why there is none), and its exit code."""
    given = options()
    ours = {
        "NBSTREAM_HOST": given.host, "NBSTREAM_STORE": given.store, "NBSTREAM_RELAY": given.relay,
        "PYTHONIOENCODING": "utf-8",
    }  # fmt: skip
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603 - this Python, and code of ours
        [sys.executable, "-c", victim], env={**os.environ, **ours}, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe
    ) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe, as asked above
        assert process.stderr is not None  # noqa: S101
        hangs = threading.Timer(LATE_S, process.kill)
        hangs.start()
        name, shown = process.stdout.readline().decode().strip(), b""
        while name and len(shown) < SHOWN and (piece := os.read(process.stdout.fileno(), 4096)):
            shown += piece
        process.kill()
        shown += process.stdout.read()
        complaint = process.stderr.read().decode("utf-8", "replace").strip()
        hangs.cancel()
    if not name:
        return None, complaint.rpartition("\n")[2] or "it ended without a word", process.returncode
    return api.find(name), shown.decode("utf-8", "ignore"), process.returncode


@contextmanager
def _deleted(stream: Stream) -> Iterator[None]:
    """Delete the stream behind the block; its recorder may be about to let it go."""
    try:
        yield
    finally:
        with suppress(StreamError, TimeoutError):
            if stream.state.live:
                stream.stop()
            _until(lambda: _gone(stream), "the trial's stream to be deleted")


def _gone(stream: Stream) -> bool:
    try:
        stream.store.delete(stream.id)
    except Fenced:
        return False
    return True


def _name() -> str:
    return f"doctor-{secrets.token_hex(8)}"


def _until(true: Callable[[], object], what: str) -> None:
    until = time.monotonic() + LATE_S
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {LATE_S:g} s for {what}")
        time.sleep(0.005)
