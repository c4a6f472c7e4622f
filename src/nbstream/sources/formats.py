"""The formats of streams by name, and the one that finds out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nbstream.errors import SourceMalformed
from nbstream.sources.contract import Arrival, Traits
from nbstream.sources.frames import QUOTE_CHARS
from nbstream.sources.native import AgentOutput, Native
from nbstream.sources.openai_chat import OpenAIChat
from nbstream.sources.plain import PlainText

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor
    from nbstream.sources.contract import FrameReader

READERS: dict[str, Callable[[Cursor | None], FrameReader]] = {
    "openai.chat": OpenAIChat,
    "nbstream": Native,
    "agent_output": AgentOutput,
    "text": PlainText,
}


class Auto:
    """
    Reads in the format that the first telling frame speaks; the cursor carries its name to the next connection.

    JSON objects of no known format are passed on by type only; if nothing else comes, that is an error and no message.
    """

    traits = Traits(
        end_mark="that of the format of the first frame",
        error_mark="that of the format of the first frame",
        heartbeat="SSE comment, or event: ping",
        resume="event-id",
    )

    def __init__(self, cursor: Cursor | None) -> None:
        self._chosen: FrameReader | None = None
        self._unknown: str | None = None
        if cursor and cursor.get("format") in READERS:
            self._chosen = READERS[cursor["format"]](cursor)
            self.read = self._chosen.read  # type: ignore[method-assign] # from now on without the detour

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Choose, and let the chosen one read."""
        name = _format_of(event)
        if name == "text" and self._unknown is not None:
            raise self._not_known()
        if name is not None:
            self._chosen = READERS[name]({"format": name})
            self.read = self._chosen.read  # type: ignore[method-assign] # from now on without the detour
            return self._chosen.read(event)
        if not event.data:
            return None
        self._unknown = self._unknown or event.data
        return Arrival()

    def eof(self) -> Arrival | None:
        """Ask the chosen one."""
        if self._chosen is None and self._unknown is not None:
            raise self._not_known()
        return self._chosen.eof() if self._chosen is not None else None

    def _not_known(self) -> SourceMalformed:
        return SourceMalformed(
            f"the frames are of no format that nbstream knows: {(self._unknown or '')[:QUOTE_CHARS]!r};"
            f" give format= or read="
        )


def _format_of(event: ServerSentEvent) -> str | None:
    """Return the format that *event* speaks, or None if it may be any."""
    data = event.data.strip()
    if not data.startswith("{"):
        telling = {"message", "done", "end", "error"} if data else {"done", "end"}
        return "text" if event.event in telling else None
    try:
        frame = json.loads(data)
    except (ValueError, RecursionError):
        if data.startswith('{"'):
            raise SourceMalformed(
                f"the first frame is broken JSON: {data[:QUOTE_CHARS]!r}; give format='text' if it is meant as text"
            ) from None
        return "text"
    if frame.get("type") == "agent_output":
        return "agent_output"
    if frame.get("type") in {"delta", "done"} or event.event in {"done", "error"}:
        return "nbstream"
    if "choices" in frame or "error" in frame or frame.get("object") == "error":
        return "openai.chat"
    return None


READERS["auto"] = Auto
