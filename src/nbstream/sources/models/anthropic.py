"""How Anthropic's Messages API is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream.sources.models.messages import Message, Request, calls_of, pieces_of, renamed, text_of, without_system

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: The API wants a limit with every request; each model of today may say as much.
MAX_TOKENS = 8192
VERSION = "2023-06-01"


def messages_api(name: str, messages: Sequence[Message], params: Mapping[str, Any]) -> Request:
    """Return the request for messages."""
    system, turns = without_system(messages)
    body = {
        "model": name,
        "max_tokens": MAX_TOKENS,
        "system": system or None,
        "messages": _turns(turns),
        "stream": True,
        **renamed(params, {"max_completion_tokens": "max_tokens", "stop": "stop_sequences"}),
    }
    if isinstance(body.get("stop_sequences"), str):
        body["stop_sequences"] = [body["stop_sequences"]]
    return Request("/v1/messages", body, {"anthropic-version": VERSION})


def _turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    before = None
    for message in messages:
        role, content = message["role"], message.get("content")
        if role == "tool":
            result = {
                "type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": text_of(content),
            }  # fmt: skip
            if before == "tool":
                turns[-1]["content"].append(result)  # all results of a turn belong into one message
            else:
                turns.append({"role": "user", "content": [result]})
        elif calls := calls_of(message):
            used = [{"type": "tool_use", "id": one.id, "name": one.name, "input": one.value} for one in calls]
            turns.append({"role": role, "content": [*pieces_of(content), *used]})
        else:
            turns.append({"role": role, "content": content})
        before = role
    return turns
