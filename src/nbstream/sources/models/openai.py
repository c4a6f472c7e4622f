"""How OpenAI's two APIs are asked: chat completions, which many servers speak, and responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream.sources.models.messages import Message, Request, calls_of, pieces_of, renamed, text_of, without_system

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Typed pieces of a message, by role.
_PIECES = {"user": "input_text", "assistant": "output_text"}


def chat_completions(name: str, messages: Sequence[Message], params: Mapping[str, Any]) -> Request:
    """Return the request for chat completions."""
    body = {
        "model": name,
        "messages": list(messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        **params,
    }
    return Request("/chat/completions", body)


def responses(name: str, messages: Sequence[Message], params: Mapping[str, Any]) -> Request:
    """Return the request for responses."""
    system, turns = without_system(messages)
    body = {
        "model": name,
        "instructions": system or None,
        "input": [item for one in turns for item in _items(one)],
        "stream": True,
        **renamed(params, {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}),
    }
    return Request("/responses", body)


def _items(message: Message) -> list[Mapping[str, Any]]:
    role, content = message["role"], message.get("content")
    if role == "tool":
        return [{"type": "function_call_output", "call_id": message.get("tool_call_id"), "output": text_of(content)}]
    items: list[Mapping[str, Any]] = []
    if content:
        items.append({"role": role, "content": content if isinstance(content, str) else _pieces(role, content)})
    items += [
        {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments or "{}"}
        for call in calls_of(message)
    ]
    return items


def _pieces(role: str, content: Any) -> list[Mapping[str, Any]]:
    return [
        {**one, "type": _PIECES[role]} if one.get("type") == "text" and role in _PIECES else one
        for one in pieces_of(content)
    ]
