"""How Gemini's streamGenerateContent is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nbstream.sources.models.messages import (
    Message,
    Request,
    calls_of,
    pieces_of,
    renamed,
    text_of,
    within,
    without_system,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Parameters as other APIs name them.
_NAMES = {
    "max_tokens": "maxOutputTokens", "max_completion_tokens": "maxOutputTokens", "top_p": "topP", "top_k": "topK",
    "stop": "stopSequences", "presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty",
}  # fmt: skip
#: What stands beside the conversation; every other parameter is one of the generation.
_BESIDE = frozenset({"tools", "toolConfig", "safetySettings", "cachedContent", "generationConfig", "labels"})


def generate_content(name: str, messages: Sequence[Message], params: Mapping[str, Any]) -> Request:
    """Return the request for a stream of generated content."""
    system, turns = without_system(messages)
    beside = {key: value for key, value in params.items() if key in _BESIDE}
    config = renamed({key: value for key, value in params.items() if key not in _BESIDE}, _NAMES)
    if isinstance(config.get("stopSequences"), str):
        config["stopSequences"] = [config["stopSequences"]]
    config = {**within(beside, "generationConfig"), **config}
    body = {
        "systemInstruction": {"parts": [{"text": system}]} if system else None,
        "contents": _contents(turns),
        "generationConfig": {key: value for key, value in config.items() if value is not None} or None,
        **beside,
    }
    if {".", ".."} & set(name.split("/")):
        raise ValueError(f"not a model's name: {name!r}")
    model = quote(name if "/" in name else f"models/{name}")
    return Request(f"/v1beta/{model}:streamGenerateContent?alt=sse", body)


def _contents(messages: Sequence[Message]) -> list[dict[str, Any]]:
    contents: list[dict[str, Any]] = []
    names: dict[Any, str] = {}
    for message in messages:
        calls = calls_of(message)
        names.update({call.id: call.name for call in calls})
        if message["role"] == "tool":
            name = message.get("name") or names.get(message.get("tool_call_id"), "")
            said = {"name": name, "response": {"result": text_of(message.get("content"))}}
            parts: list[Any] = [{"functionResponse": said}]
        else:
            parts = [_part(one) for one in pieces_of(message.get("content"))]
            parts += [{"functionCall": {"name": call.name, "args": call.value}} for call in calls]
        role = "model" if message["role"] in ("assistant", "model") else "user"
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts  # roles take turns
        else:
            contents.append({"role": role, "parts": parts})
    return contents


def _part(piece: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a piece of a message as Gemini has it; one of its own stays as it is."""
    return {"text": piece.get("text", "")} if piece.get("type") == "text" else piece
