"""What a server says in these tests, and how a test waits."""

import json
import time

DONE = "event: done\ndata: {}\n\n"


def delta(text: str) -> str:
    """Return a frame in our own format."""
    return f"data: {json.dumps({'type': 'delta', 'text': text})}\n\n"


def until(true, what: str, within_s: float = 5.0) -> None:
    """Wait until *true()*."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, f"not within {within_s} s: {what}"
        time.sleep(0.005)
