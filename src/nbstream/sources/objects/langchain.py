"""What LangChain adds to the pieces of messages: how they end, and the events of a run (`astream_events` v2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceLost
from nbstream.sources.contract import Arrival, End

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.records import Finish

#: `type` of LangChain's messages.
MESSAGES = frozenset({"ai", "AIMessageChunk", "tool", "human", "system"})

#: Why a message ended, where the models of its integrations write it down.
_REASONS = ("finish_reason", "stop_reason", "done_reason", "stopReason", "status")
_FINISHES: dict[str, Finish] = {
    "stop": "stop", "end_turn": "stop", "stop_sequence": "stop", "completed": "stop",
    "length": "length", "max_tokens": "length", "incomplete": "length", "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls", "tool_use": "tool_calls", "function_call": "tool_calls",
    "content_filter": "content_filter", "safety": "content_filter", "refusal": "refusal", "pause_turn": "pause",
}  # fmt: skip
#: Integrations that name themselves in every piece, or in what stands beside it, and always say how a message ends.
#: Without that it was cut: LangChain itself passes a cut stream on as a whole one.
_ALWAYS_END = frozenset({"openai", "anthropic", "google_genai", "ollama"})


class Endings:
    """How the messages of a run end."""

    def __init__(self) -> None:
        #: Where a message has begun that must still say how it ends, with its integration.
        self._open: dict[Any, str] = {}
        self._end: End | None = None

    def note(self, message: Mapping[str, Any], about: Mapping[str, Any], run: Any) -> None:
        """Take note of a message, or of a piece of one, and of what is told *about* it; *run*: who says it."""
        told = message.get("response_metadata") or {}
        # Not by its id, which may change on the way.
        place = about.get("langgraph_checkpoint_ns") or run
        raw = next((reason for name in _REASONS if isinstance(reason := told.get(name), str) and reason), None)
        if raw is not None:
            self._open.pop(place, None)
            self._end = End(_FINISHES.get(raw.lower(), "other"), raw)
            return
        provider = told.get("model_provider") or about.get("ls_provider")
        if provider in _ALWAYS_END and message.get("type") == "AIMessageChunk" and _says(message):
            self._open[place] = provider

    def eof(self) -> Arrival | None:
        """Return the end of the last message, None if none told; raises `SourceLost` if one did not come to its end."""
        if self._open:
            provider = next(iter(self._open.values()))
            raise SourceLost(
                f"a message of {provider} ended without a finish_reason: the connection under it was probably cut"
            )
        return Arrival(end=self._end) if self._end is not None else None


def _says(message: Mapping[str, Any]) -> bool:
    """Whether a piece may be the beginning of a message: behind the end come counts, and LangChain's own mark."""
    return not message.get("usage_metadata") and message.get("chunk_position") != "last"


class RunEvents:
    """Chooses from the events of a run, which tell each text at every level again."""

    def __init__(self) -> None:
        #: Runs of models that stream.
        self._streams: set[Any] = set()
        #: A model has spoken: what chains say is what models say.
        self._spoken = False

    def choose(self, event: Mapping[str, Any]) -> Any:
        """Return what *event* has to say, a message or text, None for nothing new."""
        kind, run, data = event["event"], event.get("run_id"), event["data"]
        if kind in {"on_chat_model_stream", "on_llm_stream"}:
            self._streams.add(run)
            self._spoken = True
            return _said(data["chunk"])
        if kind == "on_chat_model_end" and run not in self._streams:
            self._spoken = True
            return _said(data.get("output"))
        if kind == "on_tool_end" and getattr(data.get("output"), "type", None) == "tool":
            return data["output"]
        if kind == "on_chain_stream" and event.get("parent_ids") == [] and not self._spoken:
            return _said(data.get("chunk"))  # a chain without a model
        return None


def _said(chunk: Any) -> Any:
    if isinstance(chunk, str):
        return chunk
    if getattr(chunk, "type", None) in MESSAGES:
        return chunk
    text = getattr(chunk, "text", None)  # of a model that completes text
    return text if isinstance(text, str) else None
