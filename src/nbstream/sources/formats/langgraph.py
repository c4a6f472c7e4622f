"""
The event stream of a LangGraph server: `/threads/{id}/runs/stream`, its modes as event names.

    event: metadata
    data: {"run_id": "r1"}

    id: 1718-0
    event: messages|team:7b4c
    data: [{"type": "AIMessageChunk", "content": "Hel", "id": "m1"}, {"langgraph_node": "reporter"}]

    event: end
    data: null

A run that was started with `stream_resumable` numbers its events, by the millisecond: two of them can have one id, and
a stream that is asked to go on behind that id leaves the second out. So the place of a record is the id *before* the
newest one, and what has come since (`seen`) is dropped when it comes again.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceMalformed
from nbstream.sources.contract import Arrival, End, Traits
from nbstream.sources.formats.frames import malformed, unknown
from nbstream.sources.formats.langgraph_parts import LangGraphParts
from nbstream.sources.formats.langgraph_run import LangGraphRun
from nbstream.sources.refusal import ErrorObject, plain_text, refused_by_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor
    from nbstream.sources.http.call import Call

#: What a server takes for "from the beginning"; without an id it sends only what is new.
BEGINNING = "-1"


class LangGraph:
    """Reads the events of one run."""

    traits = Traits(
        end_mark="event: end, or the end of the connection when the run's own status says success",
        error_mark="event: error",
        heartbeat="SSE comment",
        resume="event-id",
        cancel="POST .../runs/{id}/cancel: a run goes on when nobody listens",
    )

    def __init__(self, cursor: Cursor | None = None) -> None:
        cursor = cursor or {}
        self._kept = {"format": cursor["format"]} if "format" in cursor else {}
        self._parts = LangGraphParts(cursor.get("run_state"))
        #: The run, once it is known: to join it again, to cancel it, to ask how it ended.
        self.run = LangGraphRun(cursor.get("run"))
        self._first: str = cursor.get("begins", "")
        #: The id before the newest one; the newest one; and what has come with it.
        self._safe: str = cursor.get("id", BEGINNING)
        self._newest: str = (cursor.get("seen") or [""])[0]
        self._seen: list[str] = list(cursor.get("seen") or [""])[1:]
        #: Of those, what comes once more; None when all of it has come.
        self._again: list[str] | None = list(self._seen) if cursor.get("seen") else None
        self._starting = bool(cursor.get("seen"))
        self._skipping = False

    def met(self, call: Call, headers: Mapping[str, str]) -> None:  # noqa: ARG002 - it says what all do
        """Take from the answer's headers which run it is."""
        self.run.met(headers)

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Return what *event* says."""
        mode, *namespace = event.event.split("|")
        if mode == "end":
            return self._end()
        data = _decoded(event.data)
        if mode == "error":
            raise refused_by_frame(_error(data))
        if self._known(event):
            return None
        if mode == "metadata" and isinstance(data, dict):
            self.run.told(data.get("run_id"))
        try:
            unnamed = mode == "message" and isinstance(data, dict)
            arrival = unknown(data, mode) if unnamed else self._parts.event(mode, namespace, data)
        except (AttributeError, TypeError, LookupError, ValueError) as exc:
            raise malformed(event.data) from exc
        return arrival._replace(cursor=self._place(event)) if event.id else arrival

    def eof(self) -> Arrival | None:
        """Return nothing: a proxy that cuts looks the same. The run itself knows (`LangGraphRun.status`)."""
        return None

    def finished(self, status: str) -> Arrival | None:
        """Return the end if the run says so by its *status*."""
        if status == "interrupted":
            return self._end() if self._parts.paused else Arrival(end=End("pause", status))
        if status in {"error", "timeout"}:
            raise refused_by_frame(ErrorObject(f"the run ended with status {status!r}"))
        return self._end() if status == "success" else None

    def _end(self) -> Arrival:
        if self._skipping:
            raise SourceMalformed(
                "the server told the run from its beginning and ended before the place where it was cut;"
                " Regenerate asks for a new answer"
            )
        return Arrival(end=End("pause", "interrupt") if self._parts.paused else End())

    # -- places -----------------------------------------------------------------------------------------------------

    def _known(self, event: ServerSentEvent) -> bool:
        """Whether *event* is one that has come before the cut."""
        if self._again is None or not event.id:
            return False
        if self._starting:
            self._starting = False
            # A server that cannot go on may begin again: its ids say how far that is known.
            self._skipping = event.id == self._first != self._newest
        if event.id == self._safe:
            # Known; or without an id of its own, and so with that which the call was made with: a greeting.
            return True
        if event.id != self._newest:
            self._again = None if not self._skipping else self._again
            return self._skipping
        self._skipping = False
        mark = _mark(event)
        if mark in self._again:
            self._again.remove(mark)
            return True
        return False

    def _place(self, event: ServerSentEvent) -> dict[str, Any]:
        self._first = self._first or event.id
        if event.id != self._newest:
            self._safe, self._newest, self._seen = self._newest or BEGINNING, event.id, []
        self._seen = [*self._seen, _mark(event)]
        cursor = {"id": self._safe, "seen": [self._newest, *self._seen], "begins": self._first, **self._kept}
        if self.run.known is not None:
            cursor["run"] = self.run.known
        cursor["run_state"] = self._parts.to_json()
        return cursor


def _mark(event: ServerSentEvent) -> str:
    return hashlib.blake2b(f"{event.event}\n{event.data}".encode("utf-8", "replace"), digest_size=6).hexdigest()


def _decoded(data: str) -> Any:
    if not data.strip():
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise malformed(data) from exc


def _error(data: Any) -> ErrorObject:
    if not isinstance(data, dict):
        return ErrorObject(plain_text(str(data)))
    name, said = data.get("error"), data.get("message")
    if not isinstance(said, str) or not said:
        return ErrorObject(plain_text(str(name or data)))
    return ErrorObject(plain_text(said), (name.lower(),) if isinstance(name, str) and name else ())
