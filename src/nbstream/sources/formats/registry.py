"""The formats of streams by name, and the one that finds out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceMalformed
from nbstream.sources.contract import Arrival, Traits, listening
from nbstream.sources.formats.agui import AGUI
from nbstream.sources.formats.anthropic_messages import AnthropicMessages
from nbstream.sources.formats.frames import QUOTE_CHARS, named, suspected
from nbstream.sources.formats.gemini_generate import GeminiGenerate
from nbstream.sources.formats.gemini_interactions import GeminiInteractions
from nbstream.sources.formats.langgraph import LangGraph
from nbstream.sources.formats.llamacpp import SERVER, LlamaCpp
from nbstream.sources.formats.native import AgentOutput, Native
from nbstream.sources.formats.ollama_chat import OllamaChat
from nbstream.sources.formats.openai_chat import OpenAIChat
from nbstream.sources.formats.openai_responses import OpenAIResponses
from nbstream.sources.formats.plain import PlainText
from nbstream.sources.formats.vercel_ui import HEADER, VercelUI
from nbstream.sources.refusal import read_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.errors import SourceError
    from nbstream.records import Cursor
    from nbstream.sources.contract import FrameReader, Run
    from nbstream.sources.http.call import Call

#: What the first frame of a format calls itself.
TYPES = {
    "agent_output": "agent_output", "delta": "nbstream", "done": "nbstream",
    "RUN_STARTED": "agui", "RUN_ERROR": "agui", "TEXT_MESSAGE_START": "agui", "TEXT_MESSAGE_CHUNK": "agui",
    "message_start": "anthropic.messages",
    "start": "vercel.ui", "start-step": "vercel.ui", "text-start": "vercel.ui", "reasoning-start": "vercel.ui",
}  # fmt: skip
#: LangGraph's frames have no type: its events are named.
LANGGRAPH_MODES = frozenset({
    "metadata", "messages", "messages/metadata", "messages/partial", "updates", "values", "custom",
})  # fmt: skip

#: Frames that have no type are known by fields that stand in all of them.
FIELDS = (
    ("gemini.generate", {"candidates"}), ("gemini.generate", {"promptFeedback"}),
    ("gemini.generate", {"usageMetadata"}), ("ollama.chat", {"model", "done"}), ("llamacpp", {"content", "stop"}),
)  # fmt: skip

READERS: dict[str, Callable[[Cursor | None], FrameReader]] = {
    "openai.chat": OpenAIChat,
    "openai.responses": OpenAIResponses,
    "anthropic.messages": AnthropicMessages,
    "gemini.generate": GeminiGenerate,
    "gemini.interactions": GeminiInteractions,
    "ollama.chat": OllamaChat,
    "llamacpp": LlamaCpp,
    "nbstream": Native,
    "agent_output": AgentOutput,
    "agui": AGUI,
    "vercel.ui": VercelUI,
    "langgraph": LangGraph,
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
        #: The error that one of those may have been.
        self._suspect: SourceError | None = None
        self._call: Call | None = None
        self._headers: Mapping[str, str] = {}
        if cursor and cursor.get("format") in READERS:
            self._chosen = READERS[cursor["format"]](cursor)
            self.read = self._chosen.read  # type: ignore[method-assign] # from now on without the detour

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Choose, and let the chosen one read."""
        name = _format_of(event)
        if name == "text" and self._unknown is not None:
            raise self._not_known()
        if name is not None:
            return self._choose(name).read(event)
        if not event.data:
            return None
        self._unknown = self._unknown or event.data
        arrival = Arrival(suspect=_suspected(event))
        self._suspect = self._suspect or arrival.suspect
        return arrival

    def eof(self) -> Arrival | None:
        """Ask the chosen one."""
        if self._chosen is None and self._unknown is not None:
            raise self._not_known()
        return self._chosen.eof() if self._chosen is not None else None

    @property
    def run(self) -> Run | None:
        """That of the chosen one."""
        chosen = listening(self._chosen)
        return chosen.run if chosen is not None else None

    def met(self, call: Call, headers: Mapping[str, str]) -> None:
        """Choose by the headers where they tell; else the chosen one gets them."""
        self._call, self._headers = call, headers
        chosen = listening(self._chosen)
        if chosen is not None:
            chosen.met(call, headers)
        elif self._chosen is None and headers.get(HEADER) == "v1":
            self._choose("vercel.ui")
        elif self._chosen is None and headers.get("server") == SERVER:
            self._choose("llamacpp")

    def finished(self, status: str) -> Arrival | None:
        """Ask the chosen one."""
        chosen = listening(self._chosen)
        return chosen.finished(status) if chosen is not None else None

    def _choose(self, name: str) -> FrameReader:
        chosen = self._chosen = READERS[name]({"format": name})
        if (listener := listening(chosen)) is not None and self._call is not None:
            listener.met(self._call, self._headers)
        self.read = chosen.read  # type: ignore[method-assign] # from now on without the detour
        return chosen

    def _not_known(self) -> SourceError:
        return self._suspect or SourceMalformed(
            f"the frames are of no format that nbstream knows: {(self._unknown or '')[:QUOTE_CHARS]!r};"
            f" give format= or read="
        )


def _format_of(event: ServerSentEvent) -> str | None:
    """Return the format that *event* speaks, or None if it may be any."""
    data = event.data.strip()
    if event.event.partition("|")[0] in LANGGRAPH_MODES and data.startswith(("{", "[")):
        return "langgraph"
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
    kind = frame.get("type")
    if isinstance(kind, str) and kind in TYPES:
        return TYPES[kind]
    return "nbstream" if event.event in {"done", "error"} else _format_of_frame(named(event, frame))


def _format_of_frame(frame: Mapping[str, Any]) -> str | None:
    """Return the format of a frame that does not call itself by a name of its own."""
    if str(frame.get("type")).startswith("response."):
        return "openai.responses"
    if isinstance(frame.get("event_type"), str):
        return "gemini.interactions"
    if "choices" in frame or "error" in frame:
        return "openai.chat"
    # An error beyond doubt is told by any reader; without one, what is said first may be of any format.
    other = "openai.chat" if read_failure(frame) is not None else None
    return next((name for name, fields in FIELDS if fields <= frame.keys()), other)


def _suspected(event: ServerSentEvent) -> SourceError | None:
    """Return the error that an event of no known format may be."""
    data = event.data.strip()
    return suspected(named(event, json.loads(data))) if data.startswith("{") else None


READERS["auto"] = Auto
