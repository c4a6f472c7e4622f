"""From tokens to frames: the three event streams of the demo server, as pure functions of what was asked."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from nbstream.demo.ask import Ask
from nbstream.demo.connection import BadRequest
from nbstream.demo.model import DemoModel

_GAP_TOKENS, _GAP_CHARS = 8, 40
# The reporter starts when the planner has got going.
_PLANNER_AHEAD: Final = 24


class Piece(NamedTuple):
    """Text of one frame, the code points before it, and the tokens of the answer up to its end."""

    offset: int
    text: str
    tokens: int


class Frame(NamedTuple):
    """One event as bytes, with the code points and tokens of the answer up to its end."""

    data: bytes
    chars: int
    tokens: int
    end: bool = False  # belongs to the end mark


class Walk:
    """
    The pieces of an answer behind a place, with length and digest of the whole text when it is through.

    What lies before the place is made too, at some 30 MB/s: the digest covers it.
    """

    def __init__(
        self, spans: Iterable[list[str]], *, after_tokens: int = 0, after_chars: int = 0, per_frame: int = 1
    ) -> None:
        self.chars = 0
        self.tokens = 0
        self._digest = hashlib.sha256()
        self._spans = spans
        self._after_tokens = after_tokens
        self._after_chars = after_chars
        self._per_frame = per_frame

    @property
    def sha256(self) -> str:
        """The hex digest over the UTF-8 of the text."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[Piece]:
        for span in self._spans:
            text = "".join(span)
            self._digest.update(text.encode())
            tokens, offset = self.tokens, self.chars
            self.tokens += len(span)
            self.chars += len(text)
            if self.tokens <= self._after_tokens or self.chars <= self._after_chars:
                continue
            first = max(0, self._after_tokens - tokens)
            offset += sum(map(len, span[:first]))
            for start in range(first, len(span), self._per_frame):
                end = min(start + self._per_frame, len(span))
                group = "".join(span[start:end])
                shown = max(0, self._after_chars - offset)
                if shown < len(group):
                    yield Piece(offset + shown, group[shown:], tokens + end)
                offset += len(group)


def native_frames(ask: Ask) -> Iterator[Frame]:
    """`/stream`: one voice. The id is the number of code points up to the end of the frame."""
    model = DemoModel(ask.seed)
    after = _number(ask.last_event_id, "") if ask.last_event_id else ask.offset or 0
    if after and "duplicate" in ask.faults:
        after = model.locate(ask.prompt, after - 1, max_tokens=ask.max_tokens)[1]
    if after and "gap" in ask.faults:
        after += _GAP_CHARS
    marked = "noresume" not in ask.faults
    spans = model.spans(ask.prompt, max_tokens=ask.max_tokens)
    walk = Walk(spans, after_chars=after, per_frame=ask.tokens_per_frame)
    for offset, text, tokens in walk:
        end = offset + len(text)
        where = {"offset": offset} if marked else {}
        data = _event({"type": "delta", **where, "text": text}, id=str(end) if marked else None)
        yield Frame(data, end, tokens)
    done = _event({"length": walk.chars, "sha256": walk.sha256}, event="done")
    yield Frame(done, walk.chars, walk.tokens, end=True)


def agent_frames(ask: Ask) -> Iterator[Frame]:
    """`/agents`: planner and reporter, interleaved. The id counts frames; each agent has *max_tokens* of its own."""
    after = _number(ask.last_event_id, "a") if ask.last_event_id else 0
    if after:
        after += _GAP_TOKENS * ("gap" in ask.faults) - ("duplicate" in ask.faults)
    marked = "noresume" not in ask.faults
    walks = {
        agent: Walk(
            DemoModel(ask.seed, voice=agent).spans(ask.prompt, max_tokens=ask.max_tokens),
            per_frame=ask.tokens_per_frame,
        )
        for agent in ("planner", "reporter")
    }
    pieces = {agent: iter(walk) for agent, walk in walks.items()}
    sequences = dict.fromkeys(walks, 0)
    chars = count = 0
    for agent in itertools.chain(["planner"] * _PLANNER_AHEAD, itertools.cycle(walks)):
        piece = next(pieces[agent], None) if agent in pieces else None
        if piece is None:
            pieces.pop(agent, None)
            if not pieces:
                break
            continue
        count += 1
        sequences[agent] += 1
        chars += len(piece.text)
        if count > after:
            frame = {"type": "agent_output", "agent": agent, "content": piece.text, "sequence": sequences[agent]}
            yield Frame(_event(frame, id=f"a{count}" if marked else None), chars, count)
    ends = {agent: {"length": walk.chars, "sha256": walk.sha256} for agent, walk in walks.items()}
    yield Frame(_event({"agents": ends}, event="done"), chars, count, end=True)


def chat_frames(ask: Ask, created: int) -> Iterator[Frame]:
    """`/v1/chat/completions` with `stream`: OpenAI chunks. The id is `t` and the number of tokens up to here."""
    after = _number(ask.last_event_id, "t") if ask.last_event_id else 0
    if after:
        after += _GAP_TOKENS * ("gap" in ask.faults) - ask.tokens_per_frame * ("duplicate" in ask.faults)
    marked = "noresume" not in ask.faults
    spans = _spans(ask)
    walk = Walk(
        spans,
        after_tokens=after,
        after_chars=0 if ask.last_event_id else ask.offset or len(ask.prefill),
        per_frame=ask.tokens_per_frame,
    )
    head = {"id": _completion_id(ask), "object": "chat.completion.chunk", "created": created, "model": "demo"}

    def chunk(choices: list[Any], offset: int, tokens: int, **more: Any) -> bytes:
        where = {"offset": offset} if marked else {}
        return _event({**head, "choices": choices, **more, **where}, id=f"t{tokens}" if marked else None)

    if not ask.resumed:
        yield Frame(chunk([_choice({"role": "assistant", "content": ""})], 0, 0), 0, 0)
    for offset, text, tokens in walk:
        yield Frame(chunk([_choice({"content": text})], offset, tokens), offset + len(text), tokens)
    finish = _choice({}, _finish(walk, ask))
    yield Frame(chunk([finish], walk.chars, walk.tokens), walk.chars, walk.tokens, end=True)
    if ask.include_usage:
        usage = chunk([], walk.chars, walk.tokens, usage=_usage(walk, ask))
        yield Frame(usage, walk.chars, walk.tokens, end=True)
    yield Frame(b"data: [DONE]\n\n", walk.chars, walk.tokens, end=True)


def _spans(ask: Ask) -> Iterator[list[str]]:
    """Return the answer; raises `BadRequest` for a prefill that is none of it: this model can say nothing else."""
    model = DemoModel(ask.seed)
    if ask.prefill:
        begun = ""
        for span in model.spans(ask.prompt, max_tokens=ask.max_tokens):
            begun += "".join(span)
            if len(begun) >= len(ask.prefill):
                break
        if not begun.startswith(ask.prefill):
            raise BadRequest(
                "the last message is not how this model's answer begins: it goes on behind its own text only"
            )
    return model.spans(ask.prompt, max_tokens=ask.max_tokens)


def chat_completion(ask: Ask, created: int) -> dict[str, Any]:
    """`/v1/chat/completions` without `stream`: the whole answer as one object."""
    walk = Walk(_spans(ask), after_chars=len(ask.prefill), per_frame=ask.tokens_per_frame)
    message = {"role": "assistant", "content": "".join(piece.text for piece in walk)}
    return {
        "id": _completion_id(ask),
        "object": "chat.completion",
        "created": created,
        "model": "demo",
        "choices": [{"index": 0, "message": message, "finish_reason": _finish(walk, ask)}],
        "usage": _usage(walk, ask),
    }


def poll_page(ask: Ask) -> dict[str, Any]:
    """`/poll`: up to *limit* code points behind *offset*."""
    offset = ask.offset or 0
    found = ""
    for piece in Walk(DemoModel(ask.seed).spans(ask.prompt, max_tokens=ask.max_tokens), after_chars=offset):
        found += piece.text
        if len(found) > ask.limit:
            break
    text = found[: ask.limit]
    return {"text": text, "offset": offset, "next": offset + len(text), "done": len(found) <= ask.limit}


def _event(data: dict[str, Any], *, id: str | None = None, event: str | None = None) -> bytes:
    head = f"id: {id}\n" * (id is not None) + f"event: {event}\n" * (event is not None)
    # Not ASCII only: clients are to meet real multi-byte characters.
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _number(last_event_id: str, prefix: str) -> int:
    number = last_event_id.removeprefix(prefix)
    if not (last_event_id.startswith(prefix) and number.isascii() and number.isdigit() and len(number) <= 18):
        raise BadRequest(f"Last-Event-ID {last_event_id!r} is not one of ours: they look like {prefix}123")
    return int(number)


def _completion_id(ask: Ask) -> str:
    return f"chatcmpl-{ask.fingerprint[:12]}"


def _choice(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _finish(walk: Walk, ask: Ask) -> str:
    return "length" if walk.tokens == ask.max_tokens else "stop"


def _usage(walk: Walk, ask: Ask) -> dict[str, int]:
    prompt = len(ask.prompt.split())
    return {"prompt_tokens": prompt, "completion_tokens": walk.tokens, "total_tokens": prompt + walk.tokens}
