"""
The pieces of the network tests: a message as servers of several dialects send it, and the whole chain under it.

The chain is `nbstream.start(source)`: a real socket, the runtime, the recorder, the store on disk. `Chain.rest` asserts
what must hold after every case, whatever went wrong.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from dataclasses import dataclass, replace

import nbstream
from nbstream.testing import Answer

#: Two keys that a careless server quotes back; neither may reach a disk or a screen.
KEY = "sk-chain-4f7d0c2b9a8e61d35577"
OTHER_KEY = "quiet-harbour-lantern-0042"
HEADERS = {"Authorization": f"Bearer {KEY}", "X-Api-Key": OTHER_KEY}

#: More than 256 code points, with characters of one to four bytes.
TEXT = (
    "A ferry left the quay at nine, with forty crates of pears. Die Glocke schlug, und über dem Fluß hing Nebel. "
    "Le mécanicien a souri : « ça tiendra ». 船は静かに島へ向かった。 Then the wind turned 🌬️ and the pilot, "
    "an old friend of the sea, wrote one line into the log: все на борту. 🚢🍐 Nobody slept, and nobody complained; "
    "by dawn the lights of the far shore stood in a row, small as pins, and the pears had ripened by a day. ✓"
)


@dataclass(frozen=True)
class Dialect:
    """How a server writes a message: its format, and what each frame says about its place."""

    format: str
    method: str = "GET"
    ids: bool = True
    offsets: bool = False
    numbers: bool = False

    @property
    def resumes(self) -> bool:
        """Whether a cut call can go on behind a cursor."""
        return self.ids or self.offsets


DIALECTS = {
    "delta": Dialect("nbstream", offsets=True),
    "delta-post": Dialect("nbstream", method="POST", offsets=True),
    "delta-id": Dialect("nbstream"),
    "delta-offset": Dialect("nbstream", ids=False, offsets=True),
    "agents": Dialect("agent_output", numbers=True),
    "text": Dialect("text"),
    "chat": Dialect("openai.chat", method="POST", offsets=True),
    # Without a cursor: the first can be repeated and verified, the other is sent once.
    "replay": Dialect("text", ids=False),
    "chat-once": Dialect("openai.chat", method="POST", ids=False),
}
RESUMABLE = [name for name, dialect in DIALECTS.items() if dialect.resumes]


@dataclass(frozen=True)
class Message:
    """*text* in the words of one dialect, in frames of *piece_chars* code points with the ids 1, 2, 3 ..."""

    dialect: Dialect
    text: str = TEXT
    piece_chars: int = 11
    id_prefix: str = ""

    @classmethod
    def of(cls, name: str, text: str = TEXT, **options: object) -> Message:
        """Return a message in the dialect of this name."""
        return cls(DIALECTS[name], text, **options)  # type: ignore[arg-type]

    @property
    def pieces(self) -> list[str]:
        """The text of each frame."""
        step = self.piece_chars
        return [self.text[at : at + step] for at in range(0, len(self.text), step)]

    def frames(self, start: int = 0) -> list[bytes]:
        """Return the frames from number *start* on; the last one is the end mark."""
        return [*(self.frame(index, piece) for index, piece in enumerate(self.pieces) if index >= start), self.end]

    def frame(self, index: int, piece: str) -> bytes:
        """Return frame number *index*, saying *piece*."""
        dialect, offset = self.dialect, index * self.piece_chars
        if dialect.format == "text":
            data = piece
        else:
            place = {"offset": offset} if dialect.offsets else {}
            body: dict[str, object] = {"type": "delta", **place, "text": piece}
            if dialect.format == "agent_output":
                body = {"type": "agent_output", "agent": "pilot", "content": piece, "sequence": index + 1}
            elif dialect.format == "openai.chat":
                body = {**chunk(piece), **place}
            data = json.dumps(body, ensure_ascii=False)
        event_id = f"id: {self.id_prefix}{index + 1}\n" if dialect.ids else ""
        return f"{event_id}data: {data}\n\n".encode()

    @property
    def end(self) -> bytes:
        """The end mark."""
        if self.dialect.format == "openai.chat":
            return sse_data(chunk(None, "stop")) + b"data: [DONE]\n\n"
        if self.dialect.format == "nbstream":
            digest = hashlib.sha256(self.text.encode()).hexdigest()
            return b"event: done\n" + sse_data({"length": len(self.text), "sha256": digest})
        return b"event: done\ndata: {}\n\n"

    def next_frame(self, request) -> int:
        """Return the number of the first frame that the client does not have, as its request says."""
        if request.last_event_id:
            return int(request.last_event_id.removeprefix(self.id_prefix))
        return int(request.query.get("offset", 0)) // self.piece_chars

    def whole(self, **options) -> Answer:
        """Return the answer that tells all of it."""
        return Answer.sse(*self.frames(), **options)

    def cut_in(self, count: int, inside: int = 0, **options) -> Answer:
        """Return an answer that breaks off behind *count* frames and *inside* bytes of the next one."""
        frames = self.frames()
        return Answer.sse(*frames[:count], frames[count][:inside], **options)

    def rest(self, request) -> Answer:
        """Answer a resumed request as an honest server does: with what comes behind."""
        return Answer.sse(*self.frames(self.next_frame(request)))

    def said(self, text: str) -> Message:
        """Return a message in the same dialect that says something else."""
        return replace(self, text=text)


def chunk(content: str | None, finish: str | None = None, **delta: object) -> dict[str, object]:
    """Return a chat-completion chunk."""
    said = {"content": content, **delta} if content is not None or delta else {}
    choice = {"index": 0, "delta": said, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "model": "pear-1", "choices": [choice]}


def sse_data(frame: object) -> bytes:
    """Return *frame* as one server-sent event."""
    return f"data: {json.dumps(frame, ensure_ascii=False)}\n\n".encode()


class Chain:
    """A server with faults at one end, a store on disk at the other, and one stream at a time in between."""

    def __init__(self, server, home) -> None:
        self.server, self.home = server, home
        self._texts = {}

    def start(self, message: Message, *replies, otherwise=None, path: str = "/stream", **limits):
        """Start a stream of *message* against the scripted *replies*; *limits* are those of `nbstream.start`."""
        self.server.script(replies, otherwise=otherwise)
        return self.begin(self.source(message, path), message.text, **limits)

    def source(self, message: Message, path: str = "/stream"):
        """Return the source of *message*: `chat` for its format, `sse` for all others."""
        if message.dialect.format == "openai.chat":
            return nbstream.chat("Tell me", model="pear-1", base_url=self.server.url + "/v1", headers=HEADERS)
        body = {"ask": "Tell me"} if message.dialect.method == "POST" else None
        url, dialect = self.server.url + path, message.dialect
        return nbstream.sse(url, method=dialect.method, json=body, headers=HEADERS, format=dialect.format)

    def begin(self, source, text: str, **limits):
        """Start a stream of any *source* that ought to say *text*."""
        stream = nbstream.start(source, **limits)
        self._texts[stream.id] = text
        return stream

    def rest(self, stream, *, within_s: float = 15.0) -> str:
        """Wait until *stream* is at rest, assert what holds after every case, and return its state."""
        state = stream.wait(within_s)
        assert not state.live, f"still {state} after {within_s} s: {stream.status()}"
        self.server.wait_closed(1.0)
        text = self._texts[stream.id]
        if state == "complete":
            assert stream.text == text
            assert stream.error is None
        else:
            assert text.startswith(stream.text)
        if state in ("failed", "interrupted"):
            line = stream.error["message"]
            assert line == " ".join(line.split()), "the error is one line"
            assert line.isprintable()
            assert 20 < len(line) < 500
        for told in (self.raw(), stream.status()["line"].encode(), repr(stream.error).encode(), repr(stream).encode()):
            assert KEY.encode() not in told
            assert OTHER_KEY.encode() not in told
        # The same is true for who reads it back later.
        (again,) = (one for one in nbstream.streams() if one.id == stream.id)
        assert (again.text, again.state) == (stream.text, state)
        return str(state)

    def raw(self) -> bytes:
        """Return every byte of the store."""
        return b"".join(path.read_bytes() for path in sorted(self.home.rglob("*")) if path.is_file())

    @property
    def requests(self):
        """What the server was asked."""
        return list(self.server.requests)

    def resumed_behind(self) -> list[tuple[str | None, str | None]]:
        """Return what each request named as its place: Last-Event-ID, and `offset` of the query."""
        return [(request.last_event_id, request.query.get("offset")) for request in self.requests]


class Stamp:
    """A step of a body that notes when it is sent; sends nothing."""

    def __init__(self) -> None:
        self.at = 0.0

    def behind(self, *steps):
        """Yield *steps*, then note the time."""
        yield from steps
        self.at = time.monotonic()


def until(ready, what: str, within_s: float = 5.0) -> float:
    """Wait until *ready()* holds and return how long that took."""
    began = time.monotonic()
    while not ready():
        assert time.monotonic() - began < within_s, f"not within {within_s} s: {what}"
        time.sleep(0.005)
    return time.monotonic() - began


def long_text(rng: random.Random, chars: int) -> str:
    """Return about *chars* code points in which no long stretch comes twice."""
    words = TEXT.split(" ")
    out, have = [], 0
    while have < chars:
        word = f"{rng.choice(words)}{rng.randrange(1000)} "
        out.append(word)
        have += len(word)
    return "".join(out)
