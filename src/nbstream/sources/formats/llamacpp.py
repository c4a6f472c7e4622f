"""
The event stream of llama.cpp's server: its own `/completion`, and the chat completions it sends as OpenAI does.

    data: {"index":0,"content":"Hel","tokens":[9906],"stop":false}
    data: {"index":0,"content":"","tokens":[],"stop":true,"stop_type":"eos","tokens_predicted":12,"tokens_evaluated":7}

A call with the header `X-Conversation-Id` goes on without listeners. The server keeps what it has sent, tells it again
from the beginning, and ends the call only when it is told to. So the place of a record is the number of frames before
it and a mark of the last one: what comes again is dropped up to there, and must be the same.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from nbstream.errors import SourceMalformed
from nbstream.records import ASSISTANT, Part
from nbstream.sources.contract import Arrival, End, Traits
from nbstream.sources.formats.frames import failing, frame_of, misread
from nbstream.sources.formats.openai_chat import OpenAIChat
from nbstream.sources.formats.speech import text_of
from nbstream.sources.formats.usage import used
from nbstream.sources.refusal import read_error, refused_by_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.records import Cursor, Finish
    from nbstream.sources.http.call import Call

    Frame = Mapping[str, Any]

#: What the server calls itself in its answers.
SERVER = "llama.cpp"
CONVERSATION = "x-conversation-id"

_FINISHES: dict[str, Finish] = {"eos": "stop", "word": "stop", "limit": "length"}
_USED = {"input": "tokens_evaluated", "output": "tokens_predicted"}
#: Where calls are made; what stands before it belongs to a proxy.
_CALLED = re.compile(r"(?P<root>.*?)(/v1)?/(chat/completions|completions?|infill)/?")


class LlamaCpp:
    """Reads the frames of one answer in either form; `"stop": true` or `[DONE]` is the end mark."""

    traits = Traits(
        end_mark='"stop": true; of chat completions [DONE], or a finish_reason and then the end of the connection',
        error_mark='{"error": {...}}',
        heartbeat="SSE comment",
        resume="cursor",
        cancel="DELETE /v1/stream?conv_id=... for a call with X-Conversation-Id; else close the connection",
    )

    def __init__(self, cursor: Cursor | None = None) -> None:
        cursor = cursor or {}
        self._kept = {"format": cursor["format"]} if "format" in cursor else {}
        self.run: Conversation | None = Conversation() if cursor.get("frames") else None
        self._frames = 0
        #: Of the connection before: how many frames came, and the mark of the last one.
        self._known: int = cursor.get("frames", 0)
        self._mark: str = cursor.get("mark", "")
        self._chat = OpenAIChat()
        self._model: str | None = None
        #: Answers that have begun, and those of them that have not ended.
        self._open: dict[str, bool] = {}

    def met(self, call: Call, headers: Mapping[str, str]) -> None:  # noqa: ARG002 - as all of them
        """Take from the call whether it goes on without listeners."""
        if conversation_of(call):
            self.run = Conversation()

    def finished(self, status: str) -> Arrival | None:  # noqa: ARG002 - never asked
        """Nobody says how an answer ended but the answer itself."""
        return None

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Return what *event* says."""
        if not event.data.strip() and event.event != "error":
            return None
        if self.run is None:
            return self._read(event)
        self._frames += 1
        mark = hashlib.blake2b(event.data.encode("utf-8", "replace"), digest_size=8).hexdigest()
        # What is known is read once more all the same: the reader has to know what came.
        arrival = self._read(event)
        if self._frames > self._known:
            if arrival is None:
                return None
            return arrival._replace(cursor={"frames": self._frames, "mark": mark, **self._kept})
        ended = arrival is not None and arrival.end is not None
        if mark != self._mark if self._frames == self._known else ended:
            raise _another()
        return None

    def eof(self) -> Arrival | None:
        """Return the end if chat completions have named their finish_reason; `/completion` always says `stop`."""
        end = self._chat.eof()
        if end is not None and self._frames < self._known:
            raise _another()  # it is over before the place where the connection before it was cut
        return end

    def _read(self, event: ServerSentEvent) -> Arrival | None:
        data = event.data
        if not data.startswith("{"):
            return self._chat.read(event)
        frame = frame_of(data)
        try:
            if "choices" in frame:
                return self._chat.frame(frame)
            return self._last_words(frame) if "content" in frame else self._chat.read(event)
        except (AttributeError, TypeError, LookupError) as exc:
            raise misread(data, frame) from exc

    def frame(self, frame: Frame) -> Arrival:
        """Return what a decoded frame of `/completion` says; `TypeError` or `LookupError` for what is not one."""
        index = frame.get("index") or 0
        agent = f"{ASSISTANT}-{index + 1}" if index else ASSISTANT
        text = text_of(frame["content"])
        parts = (Part("text", text, agent),) if text else ()
        stops = frame["stop"] is True
        self._open[agent] = not stops
        model = frame.get("model")
        model = model if type(model) is str and model != self._model else None
        self._model = model or self._model
        if not stops:
            return Arrival(parts, model=model)
        usage = used(frame.get, _USED)
        if len(usage) == len(_USED):
            usage["total"] = sum(usage.values())
        end = None if any(self._open.values()) else _end(frame)
        return Arrival(parts, end=end, usage=usage or None, model=model)

    def _last_words(self, frame: Frame) -> Arrival:
        error = read_error(frame)
        arrival = self.frame(frame)
        return arrival if error is None else failing(arrival, refused_by_frame(error))


class Conversation:
    """A call under the id that its header names."""

    def joining(self, call: Call) -> Call:
        """Return the call that is told the answer again; it goes on where that has come to its end."""
        return _at(call, "GET", "&from=0") or call

    def cancelling(self, call: Call) -> Call | None:
        """Return the call that ends it, None where its address is none of the server's."""
        return _at(call, "DELETE", "")

    def asking(self, call: Call) -> Call | None:  # noqa: ARG002 - as all of them
        """Return None: the answer says itself how it ended."""
        return None


def conversation_of(call: Call) -> str | None:
    """Return the id in the header of *call*, if it has one."""
    return next((value for name, value in call.headers if name.lower() == CONVERSATION), None)


def _at(call: Call, method: str, tail: str) -> Call | None:
    parts, conversation = urlsplit(call.url), conversation_of(call)
    called = _CALLED.fullmatch(parts.path)
    if called is None or conversation is None:
        return None
    query = urlencode({"conv_id": conversation}) + tail
    return call.beside(method, urlunsplit(parts._replace(path=f"{called['root']}/v1/stream", query=query)))


def _another() -> SourceMalformed:
    return SourceMalformed(
        "the server told the answer again and it is another one; everything shown is saved and unchanged,"
        " Regenerate asks for a new answer"
    )


def _end(frame: Frame) -> End:
    raw = frame.get("stop_type")
    if raw is None:  # of before it was named
        raw = next((name for name in ("limit", "word", "eos") if frame.get(f"stopped_{name}")), None)
    return End("stop" if raw is None else _FINISHES.get(text_of(raw), "other"), raw)
