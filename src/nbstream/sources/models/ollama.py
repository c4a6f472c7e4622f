"""How Ollama's own chat API is asked, and where it listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nbstream.sources.models.messages import Message, Request, calls_of, renamed, text_of, within

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PORT = 11434
_NAMES = {"max_tokens": "num_predict", "max_completion_tokens": "num_predict"}
#: What stands beside the conversation; every other parameter is an option of the model.
_BESIDE = frozenset({"options", "format", "keep_alive", "think", "tools", "logprobs", "top_logprobs"})


def chat_api(name: str, messages: Sequence[Message], params: Mapping[str, Any]) -> Request:
    """Return the request for a chat."""
    beside = {key: value for key, value in params.items() if key in _BESIDE}
    given = renamed({key: value for key, value in params.items() if key not in _BESIDE}, _NAMES)
    options = {**within(beside, "options"), **given}
    body = {
        "model": name,
        "messages": [_message(one) for one in messages],
        "stream": True,
        "options": {key: value for key, value in options.items() if value is not None} or None,
        **beside,
    }
    return Request("/api/chat", body)


def base_of(host: str) -> str:
    """Return the address that OLLAMA_HOST means: a host, a port, both, or all of an address."""
    scheme, given = host.split("://", 1) if "://" in host else ("http", host)
    try:
        parts = urlsplit(f"//{given}")
        name, port = parts.hostname or "127.0.0.1", parts.port
    except ValueError:
        shown = given.rpartition("@")[2]  # a password may stand before it
        raise ValueError(f"OLLAMA_HOST is {shown!r}: write it as HOST, HOST:PORT or http://HOST:PORT") from None
    if port is None:
        port = {"https": 443, "http": 80}[scheme] if "://" in host and scheme in ("http", "https") else PORT
    if name in ("0.0.0.0", "::"):  # noqa: S104 - where the server listens; it is asked on this machine
        name = "127.0.0.1"
    shown = f"[{name}]" if ":" in name else name
    user, at, _ = parts.netloc.rpartition("@")
    return f"{scheme}://{user}{at}{shown}:{port}{parts.path.rstrip('/')}"


def _message(message: Message) -> Mapping[str, Any]:
    content, calls = message.get("content"), calls_of(message)
    if (content is None or isinstance(content, str)) and not calls and message["role"] != "tool":
        return message
    out = {**message, "content": text_of(content)}
    if calls:
        out["tool_calls"] = [{"function": {"name": call.name, "arguments": call.value}} for call in calls]
    if message["role"] == "tool" and "name" in message:
        out.setdefault("tool_name", message["name"])
    return out
