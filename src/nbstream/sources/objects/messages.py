"""The readers of the formats, fed with what SDKs yield instead of what servers send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nbstream.errors import SourceLost
from nbstream.sources.contract import Arrival
from nbstream.sources.formats.anthropic_messages import AnthropicMessages
from nbstream.sources.formats.frames import Suspicion
from nbstream.sources.formats.gemini_generate import GeminiGenerate
from nbstream.sources.formats.ollama_chat import OllamaChat
from nbstream.sources.formats.openai_chat import OpenAIChat
from nbstream.sources.formats.openai_responses import OpenAIResponses
from nbstream.sources.objects.bedrock import BedrockConverse
from nbstream.sources.objects.shapes import ANTHROPIC, BEDROCK, CHAT, GEMINI, OLLAMA, RESPONSES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Frame = Mapping[str, Any]


class Reader(Protocol):
    """Reads the frames of one message."""

    def frame(self, frame: Frame) -> Arrival:
        """Return what *frame* says."""
        ...

    def eof(self) -> Arrival | None:
        """Return the end, if the message has ended without a mark of its own."""
        ...


class Format(NamedTuple):
    """A format: its reader, what ends a message, and which message a frame is of as far as it says."""

    reader: Callable[[], Reader]
    end_mark: str
    message: Callable[[Frame], Any]


FORMATS = {
    # Usage behind the finish may come under another id: it is no message.
    CHAT: Format(OpenAIChat, "a finish_reason", lambda frame: frame.get("id") if frame["choices"] else None),
    RESPONSES: Format(OpenAIResponses, "response.completed", lambda frame: (frame.get("response") or {}).get("id")),
    ANTHROPIC: Format(AnthropicMessages, "message_stop", lambda frame: (frame.get("message") or {}).get("id")),
    GEMINI: Format(GeminiGenerate, "a finish_reason", lambda frame: frame.get("responseId")),
    OLLAMA: Format(OllamaChat, '"done": true', lambda frame: frame.get("created_at")),
    BEDROCK: Format(BedrockConverse, "messageStop", lambda frame: object() if "messageStart" in frame else None),
}  # fmt: skip


class Messages:
    """
    Reads the messages of one format that an iterator yields: usually one; a loop of calls yields one after the other.

    Every one of them needs its end mark: SDKs report a cut connection as a normal end of the iterator.
    """

    def __init__(self, name: str) -> None:
        self._format = FORMATS[name]
        self._reader = self._format.reader()
        self._message: Any = None
        self._end: Arrival | None = None
        self._suspicion = Suspicion()

    def read(self, frame: Frame) -> Arrival:
        """Return what *frame* says. An end mark is kept until the iterator ends: more may follow."""
        message = self._format.message(frame)
        if message is not None and message != self._message:
            if self._ended() is not None:
                self._reader, self._end = self._format.reader(), None
            self._message = message
        arrival = self._suspicion.heed(self._reader.frame(frame))
        if arrival.end is None:
            return arrival
        self._end = Arrival(end=arrival.end)
        return arrival._replace(end=None)

    def eof(self) -> Arrival:
        """Return the end; raises `SourceLost` if the last message has none, or the error that stood for one."""
        end = self._suspicion.end(self._ended())
        if end is None:
            raise SourceLost(
                f"the iterator ended without {self._format.end_mark}: the connection under it was probably cut"
            )
        return end

    def _ended(self) -> Arrival | None:
        return self._end or self._reader.eof()
