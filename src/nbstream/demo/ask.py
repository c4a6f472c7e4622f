"""What a request asks of the demo model: the parameters of all endpoints, checked."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
from typing import Any, Final

from nbstream.demo.connection import BadRequest, Request
from nbstream.demo.faults import Faults

TEN_MB_TOKENS: Final = 2_300_000
"""At 4.9 bytes a token these are 11 MB; `fault=10mb` promises 10 MiB."""

_COMMON: Final = ("prompt", "seed", "max_tokens", "tokens_per_s", "tokens_per_frame", "fault", "offset", "run")
_CHAT: Final = (*(name for name in _COMMON if name != "prompt"), "max_completion_tokens")
#: What clients of the chat endpoint send to other models, too: accepted, and most of it ignored.
_IGNORED: Final = frozenset({
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "messages", "metadata",
    "min_p", "modalities", "model", "n", "parallel_tool_calls", "prediction", "presence_penalty", "prompt",
    "prompt_cache_key", "prompt_cache_retention", "reasoning", "reasoning_effort", "repetition_penalty",
    "response_format", "safety_identifier", "service_tier", "stop", "store", "stream", "stream_options",
    "temperature", "tool_choice", "tools", "top_k", "top_logprobs", "top_p", "user", "verbosity", "web_search_options",
})  # fmt: skip
_NAMES: Final = {
    "/v1/chat/completions": _CHAT,
    "/stream": _COMMON,
    "/agents": tuple(name for name in _COMMON if name != "offset"),
    "/poll": ("prompt", "seed", "max_tokens", "fault", "offset", "run", "limit"),
}


@dataclasses.dataclass(frozen=True)
class Ask:
    """One question to the model, and how the answer is to be served."""

    prompt: str
    seed: int
    max_tokens: int
    tokens_per_s: float
    tokens_per_frame: int
    limit: int
    fault: str
    faults: Faults
    offset: int | None  # resume behind this code point
    last_event_id: str | None
    streamed: bool
    include_usage: bool
    fingerprint: str  # equal for a request and those that resume it, or go on behind a prefill
    run: str
    prefill: str = ""  # an assistant message at the end: the answer goes on behind it

    @property
    def resumed(self) -> bool:
        """Whether the client names a place to go on from."""
        return bool(self.last_event_id or self.offset)

    def without_cursor(self) -> Ask:
        """The same question from the beginning: how a server that cannot resume understands it."""
        return dataclasses.replace(self, offset=None, last_event_id=None)


def parse_ask(request: Request) -> Ask:
    """Read the parameters from query and JSON body (the query wins); raises `BadRequest` with one clear line."""
    given: dict[str, Any] = {**_body(request), **request.query}
    _check_names(request.path, given)
    faults = Faults.parse(_text(given, "fault"))
    large = "10mb" in faults
    # Chat bodies bring many parameters of other models; what we ignore changes nothing but the fingerprint.
    same = {name: value for name, value in given.items() if name not in ("offset", "limit")}
    prefill = _prefill(same)
    spelled = json.dumps([request.path, same], sort_keys=True)
    fingerprint = hashlib.sha256(spelled.encode()).hexdigest()
    tokens = _number(given, "max_tokens", _number(given, "max_completion_tokens", 400, 1), 1)
    offset = _number(given, "offset", -1, 0)
    options = given.get("stream_options")
    ask = Ask(
        prompt=_prompt(given) if request.path == "/v1/chat/completions" else _text(given, "prompt"),
        seed=_number(given, "seed", 0, -(1 << 63)),
        max_tokens=max(tokens, TEN_MB_TOKENS) if large else tokens,
        tokens_per_s=0 if large else _rate(given),
        # A fast model sends several tokens a frame; one a frame would be 400 MB for 10 MB of text.
        tokens_per_frame=_number(given, "tokens_per_frame", 16 if large else 1, 1),
        limit=_number(given, "limit", 1000, 1),
        fault=_text(given, "fault"),
        faults=faults,
        offset=None if offset < 0 else offset,
        last_event_id=request.headers.get("last-event-id"),
        streamed=request.path in ("/stream", "/agents") or given.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        fingerprint=fingerprint,
        run=_text(given, "run") or fingerprint[:12],
        prefill=prefill,
    )
    if faults.need_a_stream and not ask.streamed:
        raise BadRequest("this fault needs a stream: use 429, 503, 401, html, slow or split here")
    return ask


def _check_names(path: str, given: dict[str, Any]) -> None:
    """Raise `BadRequest` for what we do not know: a typo that is swallowed is an answer to another question."""
    ours = _NAMES.get(path)
    if ours is None:
        return
    known = {*ours, *_IGNORED} if path == "/v1/chat/completions" else {*ours}
    for name in sorted(given.keys() - known):
        close = difflib.get_close_matches(name, sorted(known), 1)
        meant = f"; did you mean {close[0]}? " if close else ": "
        raise BadRequest(f"unknown parameter {name!r}{meant}{path} takes {', '.join(ours)}")


def _body(request: Request) -> dict[str, Any]:
    if request.method != "POST":
        return {}
    try:
        body = json.loads(request.body)
    except ValueError as exc:
        raise BadRequest(f"the body is not JSON: {exc}") from exc
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    return body


def _prompt(given: dict[str, Any]) -> str:
    """Return the text of the last user message."""
    messages = given.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise BadRequest("messages must be a list of objects with role and content")
    users = [message.get("content") for message in messages if message.get("role") == "user"]
    if not users:
        raise BadRequest("messages holds no message with role user")
    parts = users[-1] if isinstance(users[-1], list) else [{"text": users[-1]}]
    texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type", "text") == "text"]
    if not all(isinstance(text, str) for text in texts):
        raise BadRequest("the content of a message must be text, or a list of parts of type text")
    return "\n".join(map(str, texts))


def _prefill(same: dict[str, Any]) -> str:
    """Take an assistant message at the end of the conversation out of *same*, and return its text."""
    messages = same.get("messages")
    if not isinstance(messages, list) or not messages:
        return ""
    last = messages[-1]
    if not isinstance(last, dict) or last.get("role") != "assistant":
        return ""
    if not isinstance(last.get("content"), str):
        raise BadRequest("the content of an assistant message at the end must be text")
    same["messages"] = messages[:-1]
    return str(last["content"])


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if type(value) is int:
        return str(value)  # fault=503 typed where values are read as JSON
    if not isinstance(value, str | None):
        raise BadRequest(f"{name} must be a string, not {json.dumps(value)}")
    return value or ""


def _number(given: dict[str, Any], name: str, default: int, least: int) -> int:
    value = given.get(name)
    if value is None:
        return default
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if type(number) is not int or not least <= number < 1 << 63:
        raise BadRequest(f"{name} must be a whole number from {least} on, not {json.dumps(value)}")
    return number


def _rate(given: dict[str, Any]) -> float:
    value = given.get("tokens_per_s")
    if value is None:
        return 50.0
    try:
        rate = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        rate = -1.0
    if not 0 <= rate < math.inf:
        raise BadRequest(f"tokens_per_s must be a number from 0 (full speed) on, not {json.dumps(value)}")
    return rate
