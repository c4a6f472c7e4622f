"""What happens, one JSON object a line on stderr. Never a token, a key, a prompt or a text."""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from nbstream.errors import StoreFull

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Asked every few seconds by whoever watches, and worth no line.
_QUIET = ("/healthz", "/readyz", "/metrics")
#: How much of somebody else's complaint is kept.
MESSAGE_CHARS = 500
#: A store that was away less than so long ago is still the same outage.
OUTAGE_S = 60.0


class Journal:
    """Writes lines; *redact* takes keys out of what others say. Safe to use from any thread."""

    def __init__(self, redact: Callable[[str], str] = lambda text: text) -> None:
        self.redact = redact
        self._away_at = -math.inf
        self._lock = threading.Lock()

    def note(self, event: str, *, level: str = "info", **fields: Any) -> None:
        """Write one line; fields that are None are left out."""
        said = {name: value for name, value in fields.items() if value is not None}
        line = {"time": _now(), "level": level, "event": event, **said}
        sys.stderr.write(json.dumps(line, ensure_ascii=True, default=str) + "\n")
        sys.stderr.flush()

    def failed(self, exc: BaseException) -> None:
        """
        Write what of ours went wrong and where; not its message, which may quote what it was given.

        A store out of reach is none of ours: one line says it, however many meet it.
        """
        if isinstance(exc, StoreFull):
            self._away(exc)
            return
        where = [f"{one.filename.rpartition('/')[2]}:{one.lineno}" for one in traceback.extract_tb(exc.__traceback__)]
        self.note("error", level="error", error=type(exc).__name__, where=" ".join(where[-8:]))

    def _away(self, exc: StoreFull) -> None:
        with self._lock:
            now = time.monotonic()
            again, self._away_at = now < self._away_at + OUTAGE_S, now
        if not again:
            self.note("store_away", level="error", message=self.said(str(exc)))

    def said(self, message: str) -> str:
        """Return somebody else's words as one line without keys."""
        return " ".join(self.redact(message).split())[:MESSAGE_CHARS]

    def take_logs(self) -> None:
        """Let what libraries complain about be lines like these."""
        logging.captureWarnings(capture=True)
        logging.basicConfig(handlers=[_Lines(self)], level=logging.WARNING, force=True)


class Requests:
    """An ASGI application around another: each request is a line when its answer has ended."""

    def __init__(self, app: ASGIApp, journal: Journal) -> None:
        self._app, self._journal = app, journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and note how it went."""
        began, status = time.monotonic(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            if scope["type"] == "http" and scope["path"] not in _QUIET:
                user, route = scope.get("user"), scope.get("route_path")
                request = Request(scope)
                self._journal.note(
                    "request", level="info" if status < 500 else "error" if status == 500 else "warning",
                    method=request.method if request.method.isalpha() else None, route=route,
                    user=user.name if user is not None else None, stream=scope.get("stream"),
                    status=status or None, ms=round((time.monotonic() - began) * 1000),
                )  # fmt: skip


class _Lines(logging.Handler):
    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        if record.exc_info and record.exc_info[1] is not None:
            self._journal.failed(record.exc_info[1])
            return
        said = self._journal.said(record.getMessage())
        self._journal.note("log", level=record.levelname.lower(), logger=record.name, message=said)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{int(time.time() * 1000) % 1000:03d}Z"
