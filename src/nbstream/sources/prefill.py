"""
The request that lets a model go on behind a text it has begun: as the beginning of its answer, or in a further turn.

A *prefill* is an assistant message at the end of the request. Few take it: OpenAI, Claude from 4.6 on and the newest
Gemini refuse it (400), many servers answer it as a message of its own. So the table names those that are known to go on
behind it; all others, and those that refuse after all, are asked to go on in a further turn of the user.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from nbstream.errors import SourceRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nbstream.sources.http.call import Call

#: What the user's turn says. Models tend to greet, to repeat the last sentence and to open a block of code anew.
GO_ON = (
    "Your last message was cut off at its end. Continue it exactly where it stops: begin with the very next word,"
    " repeat nothing of it, add no introduction, and open nothing again that is still open."
)

#: Where the formats keep the conversation, and the role of the model in it.
CONVERSATIONS = {
    "openai.chat": ("messages", "assistant"), "anthropic.messages": ("messages", "assistant"),
    "ollama.chat": ("messages", "assistant"), "llamacpp": ("messages", "assistant"),
    "openai.responses": ("input", "assistant"), "gemini.generate": ("contents", "model"),
}  # fmt: skip


class Prefill(NamedTuple):
    """Who takes a prefill: a format, at hosts, of models (patterns; empty: any); what its message says besides."""

    format: str
    host: str = ""
    model: str = ""
    message: Mapping[str, Any] = {}


_CLAUDE = r"claude-(instant|2|3|(opus|sonnet|haiku)-4(?![-.]?[6-9]))"

PREFILLS = (
    Prefill("openai.chat", model=r"^demo$"),
    Prefill("anthropic.messages", model=_CLAUDE),
    Prefill("openai.chat", r"(^|\.)mistral\.ai$", message={"prefix": True}),
    Prefill("openai.chat", r"^api\.deepseek\.com/beta/", message={"prefix": True}),
    Prefill("openai.chat", r"^openrouter\.ai$", rf"^(mistralai|deepseek|meta-llama|qwen)/|^anthropic/{_CLAUDE}"),
    Prefill("ollama.chat"),
    Prefill("llamacpp"),
)


class Way(NamedTuple):
    """One request that lets the model go on."""

    call: Call
    prefilled: bool


def model_of(call: Call) -> str:
    """Return the model that *call* names in its body or (Gemini) its address; else the host it asks."""
    parts = urlsplit(call.url)
    named = (_body(call) or {}).get("model")
    if isinstance(named, str) and named:
        return named
    found = re.search(r"/models/([^/:]+)", parts.path)
    return found[1] if found else parts.hostname or parts.scheme


def ways(call: Call, format: str, said: str) -> Iterator[Way]:
    """Yield the requests that let the model of *call* go on behind *said*, the best first; raises `SourceRefused`."""
    body, (field, role) = _body(call), CONVERSATIONS.get(format, ("", ""))
    messages = body.get(field) if body else None
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if body is None or not isinstance(messages, list) or not messages or call.method != "POST":
        raise SourceRefused("nobody knows how to let this source go on behind its text: Regenerate asks anew")
    prefill = next((one for one in PREFILLS if _takes(one, call, format, body)), None)
    begun = _with(messages, field, role, said)
    if prefill is not None:
        last = {**begun[-1], **prefill.message}
        yield Way(call.saying({**body, field: [*begun[:-1], last]}), prefilled=True)
    yield Way(call.saying({**body, field: _with(begun, field, "user", GO_ON)}), prefilled=False)


def _takes(prefill: Prefill, call: Call, format: str, body: Mapping[str, Any]) -> bool:
    parts = urlsplit(call.url)
    host = (parts.hostname or "") + (parts.path if "/" in prefill.host else "")
    model = str(body.get("model") or parts.path)  # Gemini names it in the address
    return prefill.format == format and bool(re.search(prefill.host, host)) and bool(re.search(prefill.model, model))


def _with(messages: list[Any], field: str, role: str, text: str) -> list[Any]:
    """Return *messages* and one more; to the user's own beginning of the answer it is added."""
    last = messages[-1]
    if role != "user" and isinstance(last, dict) and last.get("role") == role and isinstance(last.get("content"), str):
        return [*messages[:-1], {**last, "content": last["content"] + text}]
    return [
        *messages,
        {"role": role, "parts": [{"text": text}]} if field == "contents" else {"role": role, "content": text},
    ]


def _body(call: Call) -> dict[str, Any] | None:
    if not call.is_json or call.body is None:
        return None
    body = json.loads(call.body)
    return body if isinstance(body, dict) else None
