"""
Which format an item of an iterator is of, told by its shape, and what of it is the frame for the format's reader.

Never by class: importing an SDK to compare would be slow, and its next version has others.
"""

from __future__ import annotations

import enum
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from nbstream.records import Part

if TYPE_CHECKING:
    from collections.abc import Callable

CHAT, RESPONSES, ANTHROPIC = "openai.chat", "openai.responses", "anthropic.messages"
GEMINI, OLLAMA, BEDROCK = "gemini.generate", "ollama.chat", "bedrock.converse"

_ANTHROPIC_EVENTS = frozenset({
    "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
    "message_stop", "ping",
})  # fmt: skip
_BEDROCK_EVENTS = frozenset({
    "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop",
    "internalServerException", "modelStreamErrorException", "modelTimeoutException", "serviceUnavailableException",
    "throttlingException", "validationException",
})  # fmt: skip
#: Events that `.stream()` helpers derive from those of the wire -> the format of these, and the text in them.
_DERIVED = {
    "content.delta": (CHAT, "text", "delta"), "refusal.delta": (CHAT, "refusal", "delta"),
    "text": (ANTHROPIC, "text", "text"), "thinking": (ANTHROPIC, "reasoning", "thinking"),
    "content.done": (CHAT, "", ""), "refusal.done": (CHAT, "", ""),
    "tool_calls.function.arguments.delta": (CHAT, "", ""), "tool_calls.function.arguments.done": (CHAT, "", ""),
    "logprobs.content.delta": (CHAT, "", ""), "logprobs.content.done": (CHAT, "", ""),
    "logprobs.refusal.delta": (CHAT, "", ""), "logprobs.refusal.done": (CHAT, "", ""),
    "citation": (ANTHROPIC, "", ""), "signature": (ANTHROPIC, "", ""), "input_json": (ANTHROPIC, "", ""),
}  # fmt: skip

_SNAPSHOT = {"snapshot"}
_PLAIN = frozenset({str, int, float, bool, type(None)})


class Seen(NamedTuple):
    """A frame of a format; or, where the item only repeats what frames of this format say, the part that it makes."""

    format: str
    frame: Any = None
    #: None with no frame: it says nothing of its own.
    part: Part | None = None


def see(item: Any) -> Seen | None:
    """Return what *item* is; None for what no provider's SDK yields."""
    choices = item.get("choices") if isinstance(item, dict) else getattr(item, "choices", None)
    if choices is not None:
        return Seen(CHAT, _chunk(plain(item)))
    has, get = _looks(item)
    kind = get("type")
    if type(kind) is str:
        return _typed(kind, item, get)
    if has("candidates") or has("promptFeedback"):
        return Seen(GEMINI, plain(item))
    if has("done") and (has("message") or has("response")):
        return Seen(OLLAMA, plain(item))
    return _of_bedrock(item) if isinstance(item, dict) else _of_mistral(get("data"))


def plain(value: Any) -> Any:
    """Return *value* as dicts and lists, named as on the wire, however its SDK models it; what is None is left out."""
    if type(value) in _PLAIN:
        return value
    if hasattr(value, "model_dump"):
        # `snapshot`: the whole text so far, in every event of a helper. SDKs do not validate, and pydantic would warn.
        return value.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=_SNAPSHOT, warnings=False)
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, enum.Enum):
        return value.value
    fields = vars(value) if hasattr(value, "__dict__") else {name: getattr(value, name) for name in _slots(value)}
    return {name: plain(one) for name, one in fields.items() if one is not None and not name.startswith("_")}


def _looks(item: Any) -> tuple[Callable[[str], bool], Callable[[str], Any]]:
    if isinstance(item, dict):
        return item.__contains__, item.get
    return (lambda name: hasattr(item, name)), (lambda name: getattr(item, name, None))


def _typed(kind: str, item: Any, get: Callable[[str], Any]) -> Seen | None:
    if kind in _ANTHROPIC_EVENTS:
        return Seen(ANTHROPIC, plain(item))
    if kind.startswith("response."):
        return Seen(RESPONSES, plain(item))
    if kind == "chunk" and getattr(get("chunk"), "choices", None) is not None:
        return Seen(CHAT, _chunk(plain(get("chunk"))))
    if kind not in _DERIVED:
        return None
    name, of, field = _DERIVED[kind]
    text = get(field) if of else None
    return Seen(name, part=Part(of, text) if isinstance(text, str) and text else None)


def _of_mistral(data: Any) -> Seen | None:
    """Return the chunk that an event of Mistral's wraps."""
    return Seen(CHAT, _chunk(plain(data))) if getattr(data, "choices", None) is not None else None


def _of_bedrock(item: dict[Any, Any]) -> Seen | None:
    if len(item) != 1:
        return None
    name, value = next(iter(item.items()))
    if name == "chunk" and isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
        return see(json.loads(value["bytes"]))  # InvokeModel's: events of the model's own provider
    is_metadata = name == "metadata" and isinstance(value, dict) and "usage" in value
    return Seen(BEDROCK, item) if name in _BEDROCK_EVENTS or is_metadata else None


def _chunk(frame: dict[str, Any]) -> dict[str, Any]:
    """Return a chunk of a chat; those of plain completions (llama.cpp, OpenAI's old API) have their text elsewhere."""
    for choice in frame["choices"]:
        if "text" in choice and "delta" not in choice:
            texts = [{**one, "delta": {"content": one.get("text")}} for one in frame["choices"]]
            return {**frame, "choices": texts}
    return frame


def _slots(value: Any) -> list[str]:
    return [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()) if hasattr(value, name)]
