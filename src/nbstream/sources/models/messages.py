"""A conversation as people write it, which is as OpenAI has it: a list of messages with role and content."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

#: A prompt, or messages with role and content.
Prompt: TypeAlias = "str | Sequence[Mapping[str, Any]]"
Message: TypeAlias = "Mapping[str, Any]"

#: Roles of what stands above the conversation.
SYSTEM = frozenset({"system", "developer"})


class Request(NamedTuple):
    """What an API is sent: a path behind its base address, a JSON body, and headers that are no secret."""

    path: str
    body: dict[str, Any]
    headers: Mapping[str, str] = {}


class ToolCall(NamedTuple):
    """A call of a tool by the assistant; `arguments` is JSON."""

    id: str
    name: str
    arguments: str

    @property
    def value(self) -> Any:
        """The arguments, decoded."""
        try:
            return json.loads(self.arguments or "{}")
        except ValueError:
            raise ValueError(f"messages: the arguments of the tool call {self.name!r} are not JSON") from None


def messages_of(prompt: Prompt, system: str | None) -> list[Message]:
    """Return the conversation, *system* in front; raises `ValueError` with one line for what is none."""
    if isinstance(prompt, str):
        if not prompt.strip():
            raise ValueError("the prompt is empty")
        messages: list[Message] = [{"role": "user", "content": prompt}]
    else:
        if not isinstance(prompt, Iterable):
            raise TypeError(f"the prompt must be text or a list of messages, not {type(prompt).__name__}")
        given: list[Any] = list(prompt)
        if not given or not all(isinstance(one, Mapping) and "role" in one for one in given):
            raise ValueError("messages must be a list of objects with role and content, and not empty")
        for one in given:
            # Both raise for what no API takes.
            pieces_of(one.get("content"))
            calls_of(one)
        messages = given
    return [{"role": "system", "content": system}, *messages] if system else messages


def without_system(messages: Iterable[Message]) -> tuple[str, list[Message]]:
    """Return what stands above the conversation as one text, and the rest."""
    messages = list(messages)
    above = [text_of(one.get("content")) for one in messages if one["role"] in SYSTEM]
    return "\n\n".join(above), [one for one in messages if one["role"] not in SYSTEM]


def text_of(content: Any) -> str:
    """Return the text in a message's content: as it is, or in typed pieces."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(str(piece.get("text", "")) for piece in pieces_of(content))


def pieces_of(content: Any) -> list[Mapping[str, Any]]:
    """Return content as typed pieces; raises `ValueError` for what is neither text nor such."""
    if content is None or isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    listed = list(content) if isinstance(content, Sequence) else [content]
    pieces = [{"type": "text", "text": one} if isinstance(one, str) else one for one in listed]
    if not all(isinstance(one, Mapping) for one in pieces):
        raise ValueError("messages: content must be text, or a list of objects")
    return pieces


def calls_of(message: Message) -> list[ToolCall]:
    """Return the calls of tools in an assistant's message."""
    found, calls = [], message.get("tool_calls") or ()
    for call in calls if isinstance(calls, Sequence) else [calls]:
        function = (call.get("function") or {}) if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise ValueError("messages: tool_calls must be a list of objects, each with a function")  # noqa: TRY004
        given = function.get("arguments") or ""
        arguments = given if isinstance(given, str) else json.dumps(given)
        found.append(ToolCall(str(call.get("id") or ""), str(function.get("name") or ""), arguments))
    return found


def renamed(params: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return *params* by the names that an API has for them."""
    return {names.get(name, name): value for name, value in params.items()}


def within(params: dict[str, Any], name: str) -> Mapping[str, Any]:
    """Take the group of parameters called *name* out of *params*; `TypeError` for what is no group."""
    group = params.pop(name, None) or {}
    if not isinstance(group, Mapping):
        raise TypeError(f"{name}= must map names to values, not {type(group).__name__}")
    return group
