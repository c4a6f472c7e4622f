"""
The records of a log: `open`, `delta`, `close`, as JSON bytes, version 1.

Lengths and offsets of text count Unicode code points. A record never changes once it is appended; its offset is its
place in the log (0, 1, 2 ...) and is not stored in it. docs/protocol.md is the public form of this file.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

from nbstream.errors import LogDamaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

VERSION = 1

#: The agent of a source that has only one voice.
ASSISTANT = "assistant"

#: Kinds whose parts are running text: adjacent ones of one agent join, and each carries `off`.
TEXT_KINDS = frozenset({"text", "reasoning", "refusal"})
#: Kinds that say something about an agent and are no output of it: they move no cursor and take no place in its text.
MARKS = frozenset({"agent_start", "agent_end", "waiting", "gap", "late", "seam"})

Intent: TypeAlias = Literal["new", "resume", "continue", "regenerate"]
How: TypeAlias = Literal["complete", "stopped", "interrupted", "failed"]
Finish: TypeAlias = Literal[
    "stop", "length", "tool_calls", "content_filter", "refusal", "pause", "cancelled", "error", "other"
]
#: What an upstream needs to go on behind a record. Opaque to everything but the source that wrote it.
Cursor: TypeAlias = "Mapping[str, Any]"


class Part(NamedTuple):
    """
    One piece of one agent's output.

    `sequence` is dense per agent from 1. Text kinds carry `text` and `off`, the code points of that agent and kind
    before it, so that applying a part twice changes nothing. Other kinds keep what they have in `fields`.
    """

    kind: str
    text: str = ""
    agent: str = ASSISTANT
    sequence: int = 0
    off: int = 0
    fields: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of docs/protocol.md."""
        out: dict[str, Any] = {"agent": self.agent, "sequence": self.sequence, "kind": self.kind}
        if self.kind in TEXT_KINDS:
            out["off"] = self.off
            out["text"] = self.text
        if self.fields:
            out.update(self.fields)
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Part:
        """Read back what `to_json` made; keys it does not know stay in `fields`."""
        known = {"agent", "sequence", "kind"}
        if data["kind"] in TEXT_KINDS:
            known |= {"off", "text"}
        rest = {name: value for name, value in data.items() if name not in known}
        return cls(
            kind=_typed(data["kind"], str),
            text=_typed(data["text"], str) if "text" in known else "",
            agent=_typed(data["agent"], str),
            sequence=_typed(data["sequence"], int),
            off=_typed(data["off"], int) if "off" in known else 0,
            fields=rest or None,
        )


@dataclass(frozen=True, slots=True)
class Open:
    """
    A call begins: appended (and on disk) before the first byte goes upstream.

    `source` describes the source without secrets: names of environment variables, never their values. `at` is wall
    time, seconds since the epoch.
    """

    stream: str
    key: str
    intent: Intent
    source: Mapping[str, Any]
    fingerprint: str
    writer: str
    host: str
    boot: str
    at: float
    parent: str | None = None
    #: Of a regenerated team, the one agent that is asked anew: what the others said is taken over from the parent.
    agent: str | None = None
    #: Of a turn: `conversation`, its name; `behind`, the keys of the turns before it; `before`, the stream of the last
    #: of them; `prompt`, unless it holds a key.
    turn: Mapping[str, Any] | None = None
    #: Of the call's limits (`recording.Limits`) those that are not the usual ones: another relay may go on with it.
    limits: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """
    Output that arrived.

    `cursor` is what the upstream needs to go on behind the last whole upstream event of this record, `behind` the code
    points already stored behind that cursor (the record ends inside an event); resume verifies and drops exactly those.
    `meanwhile` tells what happened on the wire since the record before (a lost connection, a call made again, a
    silence): pictures are drawn from it, nobody decides by it, and logs of older versions have none.
    """

    parts: tuple[Part, ...]
    at: float
    cursor: Cursor | None = None
    behind: int = 0
    meanwhile: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """
    How a call ended. Only `complete` is final; more records may follow the others.

    `error` is `{type, message, retryable}`, already redacted. `chars` counts the code points of all agents so far.
    """

    how: How
    at: float
    finish: Finish | None = None
    raw_finish: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    model: str | None = None
    chars: int = 0
    #: As of a `Delta`.
    meanwhile: Sequence[Mapping[str, Any]] | None = None

    @property
    def says_why(self) -> bool:
        """Whether it says why nothing follows. Else the writer went for reasons of its own, and another may go on."""
        return self.how != "interrupted" or self.error is not None


Record: TypeAlias = Open | Delta | Close


def encode(record: Record) -> bytes:
    """Return the bytes that a log stores for *record*."""
    if isinstance(record, Delta):
        body: dict[str, Any] = {
            "v": VERSION,
            "type": "delta",
            "at": record.at,
            "parts": [part.to_json() for part in record.parts],
        }
        if record.cursor is not None:
            body["cursor"] = record.cursor
        if record.behind:
            body["behind"] = record.behind
        if record.meanwhile:
            body["meanwhile"] = record.meanwhile
    else:
        kind = "open" if isinstance(record, Open) else "close"
        body = {"v": VERSION, "type": kind}
        body.update((name, getattr(record, name)) for name in record.__slots__ if getattr(record, name) is not None)
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    # A question or the name of a model may hold half a character; of output the offsets count, so it is whole already.
    return (text if isinstance(record, Delta) else whole_characters(text)).encode()


def decode(data: bytes, *, stream: str, offset: int) -> Record:
    """Read one stored record; anything that is not one raises `LogDamaged` naming *stream* and *offset*."""
    try:
        body = json.loads(data)
        if body.pop("v") != VERSION:
            msg = "is of another version"
            raise ValueError(msg)  # noqa: TRY301 - one place turns every kind of damage into one error
        kind = body.pop("type")
        if kind == "delta":
            parts = tuple(Part.from_json(part) for part in body.pop("parts"))
            return Delta(parts=parts, **body)
        if kind not in ("open", "close"):
            msg = f"unknown type {kind!r}"
            raise ValueError(msg)  # noqa: TRY301 - as above
        if kind == "close" and body["how"] not in get_args(How):
            msg = f"unknown ending {body['how']!r}"
            raise ValueError(msg)  # noqa: TRY301 - as above
        return Open(**body) if kind == "open" else Close(**body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        msg = (
            f"record {offset} of stream {stream} is damaged or foreign ({type(exc).__name__}: {exc}); what is before"
            f" it is intact: `%stream show {stream}`, or `%%stream --fresh` for a new answer"
        )
        raise LogDamaged(msg) from exc


def join(parts: Iterable[Part]) -> list[Part]:
    """Join adjacent text parts of one agent and kind; the joined part keeps the place of the first."""
    out: list[Part] = []
    run: list[str] = []
    for part in parts:
        if out and part.kind in TEXT_KINDS and part.kind == out[-1].kind and part.agent == out[-1].agent:
            run.append(part.text)
            continue
        _flush(out, run)
        out.append(part)
        run = [part.text]
    _flush(out, run)
    return out


def _flush(out: list[Part], run: list[str]) -> None:
    if len(run) > 1:
        out[-1] = out[-1]._replace(text="".join(run))


_SURROGATE = re.compile("[\ud800-\udfff]")


def whole_characters(text: str) -> str:
    """Return *text* with surrogate pairs joined and lone surrogates replaced: JSON can carry them, UTF-8 cannot."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        msg = f"expected {kind.__name__}, found {type(value).__name__}"
        raise TypeError(msg)
    return value
