"""What a `FaultServer` says, and what it was asked."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from nbstream.testing.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: How the client learns where the body ends. `bare`: no status line and no headers, the body is all that is sent.
Framing: TypeAlias = Literal["chunked", "length", "close", "bare"]
#: `clean`: the body ends as its framing wants, then the connection closes. `keep`: the same, but the connection stays
#: for the next request. `cut`: closed (FIN) where the body stands. `reset`: the same with RST. `stall`: nothing more.
Ending: TypeAlias = Literal["clean", "keep", "cut", "reset", "stall"]


class Pause(NamedTuple):
    """A step of a body: *seconds* of silence."""

    seconds: float


Step: TypeAlias = "bytes | str | Pause | Gate"


@dataclass(frozen=True, slots=True)
class Answer:
    """
    One answer of a `FaultServer`; `Answer.sse(...)` for an event stream.

    Args:
        body: What is sent, step by step: bytes and str (UTF-8) are each one chunk and one packet, `Pause` and `Gate`
            wait. Any iterable; a generator may go on for ever.
        status: HTTP status.
        headers: Sent as they are. A `Content-Length` given here replaces the true one.
        framing: How the end of the body is marked.
        end: What happens behind the last step.
        before: Steps (`Pause`, `Gate`) before the first byte of the answer.
        piece_bytes: Cut every chunk into packets of this many bytes; 1 sends byte by byte.
        bytes_per_s: Speed of the link.
        gzip: Compress, flushing behind every chunk.
    """

    body: Iterable[Step] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    framing: Framing = "chunked"
    end: Ending = "clean"
    before: Iterable[Pause | Gate] = ()
    piece_bytes: int | None = None
    bytes_per_s: float | None = None
    gzip: bool = False

    @classmethod
    def sse(cls, *body: Step, **options: Any) -> Answer:
        """Return an answer of type text/event-stream; *options* are those of `Answer`."""
        headers = {"Content-Type": "text/event-stream", **options.pop("headers", {})}
        return cls(body=body, headers=headers, **options)

    def steps(self) -> Iterator[bytes | Pause | Gate]:
        """Yield the body as it goes out, before framing."""
        squeeze = zlib.compressobj(wbits=31) if self.gzip else None
        for step in self.body:
            data = step.encode() if isinstance(step, str) else step
            if squeeze is not None and isinstance(data, bytes):
                data = squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH)
            yield data
        if squeeze is not None and self.end in ("clean", "keep"):
            yield squeeze.flush()

    def fixed(self) -> Answer:
        """Return this answer with its body in hand and no compression left to do, so that its length is known."""
        headers = {"Content-Encoding": "gzip", **self.headers} if self.gzip else self.headers
        return replace(self, body=tuple(self.steps()), headers=headers, gzip=False)

    def head(self) -> bytes:
        """Return status line and headers; `length` framing needs a body in hand (`fixed`)."""
        if self.framing == "bare":
            return b""
        headers = dict(self.headers)
        if self.gzip:
            headers.setdefault("Content-Encoding", "gzip")
        if self.framing == "chunked" and self.has_body:
            headers["Transfer-Encoding"] = "chunked"
        elif self.framing == "length" and self.has_body:
            headers.setdefault("Content-Length", str(sum(len(step) for step in self.body if isinstance(step, bytes))))
        if self.end != "keep":
            headers.setdefault("Connection", "close")
        lines = [f"HTTP/1.1 {self.status} Answer", *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    @property
    def has_body(self) -> bool:
        """204 and 304 have none."""
        return self.status not in (204, 304)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived. Header names are lower case; `at` is `time.monotonic()` at its last byte."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    #: Counts the connections of the server from 0.
    connection: int

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query, decoded."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def last_event_id(self) -> str | None:
        """What the client has, as it says (header values are bytes: read as UTF-8)."""
        value = self.headers.get("last-event-id")
        return None if value is None else value.encode("latin-1").decode()


#: An answer, or what to answer to a request.
Reply: TypeAlias = "Answer | Callable[[Request], Answer]"
