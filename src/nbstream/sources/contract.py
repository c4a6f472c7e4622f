"""What every source promises: an async iterator of arrivals that can be closed, and honest words on resuming."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from httpx_sse import ServerSentEvent

    from nbstream.errors import SourceError
    from nbstream.records import Cursor, Finish, Part
    from nbstream.sources.http.call import Call

#: How a cut call can go on. `event-id`: Last-Event-ID; `offset`: ?offset=N; `replay`: the same request again gives the
#: same text from 0, so what is shown can be verified and skipped; `none`: only a new call, which costs and may differ.
Resume: TypeAlias = Literal["event-id", "offset", "cursor", "snapshot", "replay", "prefill", "none"]


@dataclass(frozen=True, slots=True)
class Traits:
    """What a source declares about its format, in words for people and flags for the recorder."""

    #: What ends a message, e.g. `data: [DONE]` after a finish_reason.
    end_mark: str
    #: What reports an error inside the stream.
    error_mark: str
    #: The sign of life in silence, if the format has one, e.g. `SSE comment`.
    heartbeat: str | None
    resume: Resume
    #: Does closing the connection end the call, or does the upstream need a request of its own?
    cancel: str = "close the connection"


class End(NamedTuple):
    """The source's own end mark; `length` (code points) and `sha256` (hex, over UTF-8) of the whole text if it says."""

    finish: Finish = "stop"
    raw_finish: str | None = None
    length: int | None = None
    sha256: str | None = None


class Arrival(NamedTuple):
    """
    One upstream event in our words.

    `parts` have no sequence and no `off` yet: the recorder numbers them. `cursor` is what the upstream needs to go on
    behind this event (None: this event names no place). `start` is where the frame itself says its text begins, in code
    points of the whole text, and `number` the frame's own per-agent sequence: both let the recorder cut overlap and see
    gaps. `event_id` is the upstream's id of this event, `pieces` the number of events joined into this arrival. An
    arrival without parts and end is a sign of progress in the protocol (the call was accepted), not output. `error` is
    for readers whose event says its parts and fails: the source yields the parts, and raises it. `suspect` is the error
    that the event may have been: the source raises it if the stream ends and nothing was said behind it.
    """

    parts: tuple[Part, ...] = ()
    cursor: Cursor | None = None
    start: int | None = None
    number: int | None = None
    event_id: str | None = None
    end: End | None = None
    usage: Mapping[str, int] | None = None
    model: str | None = None
    pieces: int = 1
    error: SourceError | None = None
    suspect: SourceError | None = None


class Pulse:
    """
    Signs of life of one connection, written by the source, read by the recorder's watchdog.

    Comments and pings count as life but not as progress. *now* and `last_byte` are seconds of `time.monotonic()`.
    """

    def __init__(self, now: float) -> None:
        self.last_byte = now
        #: Pings and comments of this connection. After the first one silence of 45 s means it is dead, not thinking.
        self.pings = 0
        #: `retry:` as last sent by the server, milliseconds.
        self.retry_ms: int | None = None


class FrameReader(Protocol):
    """
    Reads the events of one connection in one format; made with the cursor the connection was resumed behind.

    Raises `SourceRefused` for an error inside the stream and `SourceMalformed` for what is not of the format.
    """

    @property
    def traits(self) -> Traits:
        """What the format declares."""
        ...

    def read(self, event: ServerSentEvent) -> Arrival | None:
        """Return what *event* says, None for nothing."""
        ...

    def eof(self) -> Arrival | None:
        """Return the end, if the format takes a clean end of the connection without an end mark for one."""
        ...


class Run(Protocol):
    """A call that goes on at the server when its connection breaks, once the server has said which one it is."""

    def joining(self, call: Call) -> Call:
        """Return the call that listens to it again, instead of *call*, which would start another one."""
        ...

    def cancelling(self, call: Call) -> Call | None:
        """Return the call that ends it, None when nobody knows which one it is."""
        ...

    def asking(self, call: Call) -> Call | None:
        """Return the call whose answer, a JSON object, has its `status`; None as above."""
        ...


@runtime_checkable
class Listening(Protocol):
    """What a reader is besides, if its format says something outside its frames."""

    @property
    def run(self) -> Run | None:
        """The run that it reads, if it is one."""
        ...

    def met(self, call: Call, headers: Mapping[str, str]) -> None:
        """Take note of the call that was made and of the headers of its answer, before its first frame."""
        ...

    def finished(self, status: str) -> Arrival | None:
        """Return the end, behind a clean end of the connection, if the run's *status* says that it has ended."""
        ...


def listening(reader: object) -> Listening | None:
    """Return *reader* if its format says something outside its frames."""
    return reader if isinstance(reader, Listening) else None


class Source(Protocol):
    """Where deltas come from."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """Describes the source in the log, without secrets."""
        ...

    @property
    def fingerprint(self) -> str | None:
        """
        Equal exactly when running it again asks the same question (model, messages, parameters, URL).

        None where nobody can say so: objects whose call was made before we saw them, factories that read such objects.
        Then each run is a new stream, and `spec` is of kind `object`.
        """
        ...

    @property
    def traits(self) -> Traits:
        """What the format declares."""
        ...

    @property
    def replayable(self) -> bool:
        """
        Whether a cut call may be sent again from the start, and verified against what is shown.

        True where that costs nothing and gives the same text: a GET.
        """
        ...

    @property
    def note(self) -> str | None:
        """Something that the state line should say; may change while the source runs and after it was closed."""
        ...

    def connect(self, cursor: Cursor | None, pulse: Pulse) -> AsyncGenerator[Arrival, None]:
        """
        Make the call, behind *cursor* if given, and yield what arrives; the first arrival means "accepted".

        Ends normally only after an arrival with `end`. A connection that just ends raises `SourceLost`; other troubles
        raise `SourceRefused` or `SourceMalformed`. Closing the generator (or cancelling its task) closes the upstream
        before it returns. A source whose call was made before we saw it may be connected once only.
        """
        ...

    async def cancel(self, cursor: Cursor | None) -> None:
        """
        Tell the upstream that nobody wants the rest, where closing the connection does not end the call.

        Called once, when the connection is closed already, with the last cursor the upstream gave (None: none). Does
        nothing for upstreams that end a call with its connection (`traits.cancel` says so). It is given five seconds;
        what it raises is shown and stored, so it must be redacted.
        """
        ...
