"""
Who wants to hear that a stream has changed.

Changes made by this process are passed on at once. Other processes send no signals, so one thread looks for their
changes while, and only while, somebody listens.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from functools import partial

from nbstream.log.bell import News
from nbstream.log.rows import closed

#: Contract: appends by other processes are noticed within 250 ms. 100 ms leaves room for a busy machine.
POLL_S = 0.1

_log = logging.getLogger(__name__)


class Hub:
    """Subscriptions by stream. *changed* answers "to which of these was anything written since the last call?"."""

    def __init__(self, changed: Callable[[Collection[str]], Collection[str]] | None = None) -> None:
        self._changed = changed
        self._lock = threading.Lock()
        self._looks: dict[str, list[Callable[[], None]]] = {}
        self._poller: threading.Thread | None = None
        self._closed = threading.Event()

    def subscribe(self, stream: str, look: Callable[[], None]) -> Callable[[], None]:
        """Call *look* at every signal for *stream* until the returned function is called."""
        entry = partial(look)  # compares by identity: one function may be subscribed twice
        with self._lock:
            if self._closed.is_set():
                raise closed()
            self._looks.setdefault(stream, []).append(entry)
            if self._changed is not None and self._poller is None:
                self._poller = threading.Thread(
                    target=self._poll, args=(self._changed,), name="nbstream-poll", daemon=True
                )
                self._poller.start()

        def end() -> None:
            with self._lock:
                looks = self._looks.get(stream, [])
                if entry in looks:
                    looks.remove(entry)
                if not looks:
                    self._looks.pop(stream, None)

        return end

    def signal(self, stream: str | None = None) -> None:
        """Tell the subscribers of *stream* (None: of all streams) to look again."""
        with self._lock:
            groups = list(self._looks.values()) if stream is None else [self._looks.get(stream, [])]
            looks = [look for group in groups for look in group]
        for look in looks:
            try:
                look()
            except Exception:  # noqa: BLE001 - it is logged, whatever it is
                # Called by the writer and the poller: one bad listener must not silence the others.
                _log.exception("a listener of stream %s failed", stream or "(any)")

    def wait(self, stream: str, ready: Callable[[], bool], timeout_s: float) -> bool:
        """Block until *ready* (asked again at every signal) or until *timeout_s* seconds are over."""
        if ready():
            return True
        deadline = time.monotonic() + timeout_s
        news = News()
        end = self.subscribe(stream, news.tell)
        try:
            while True:
                if ready():
                    return True
                if self._closed.is_set():
                    raise closed()
                left = deadline - time.monotonic()
                if left <= 0 or not news.wait(left):
                    return ready()
        finally:
            end()

    def close(self) -> None:
        """Wake everybody once more and end the poller."""
        with self._lock:
            self._closed.set()
            poller = self._poller
        self.signal()
        if poller is not None and poller is not threading.current_thread():
            poller.join()

    def _poll(self, changed: Callable[[Collection[str]], Collection[str]]) -> None:
        while not self._closed.wait(POLL_S):
            with self._lock:
                if not self._looks:
                    self._poller = None
                    return
                streams = tuple(self._looks)
            # Outside the lock, and only to whom it may concern: two hundred that wait would all go and look.
            for stream in changed(streams):
                self.signal(stream)
