"""What a call used: the words of providers for it, and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Ours -> those of AG-UI and of the Vercel AI SDK.
CAMEL: Final = {
    "input": "inputTokens", "output": "outputTokens", "reasoning": "reasoningTokens", "cached": "cachedInputTokens",
    "total": "totalTokens",
}  # fmt: skip
#: Ours -> those of LangChain, and of OpenAI's Responses.
SNAKE: Final = {"input": "input_tokens", "output": "output_tokens", "total": "total_tokens"}
RESPONSES: Final = {
    **SNAKE, "reasoning": "output_tokens_details.reasoning_tokens", "cached": "input_tokens_details.cached_tokens",
}  # fmt: skip

#: Ours -> those of OpenAI's chat completions.
CHAT: Final = {
    "input": "prompt_tokens", "output": "completion_tokens", "total": "total_tokens",
    "reasoning": "completion_tokens_details.reasoning_tokens", "cached": "prompt_tokens_details.cached_tokens",
}  # fmt: skip


def used(get: Callable[[str], Any], words: Mapping[str, str]) -> dict[str, int]:
    """Return what was told by *words*, as far as it is a number; *get* returns what stands under one of theirs."""
    told = {ours: get(theirs) for ours, theirs in words.items()}
    return {ours: count for ours, count in told.items() if type(count) is int}


def within(told: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return a function that finds `outer.inner` in *told*, for formats that count in groups."""

    def get(path: str) -> Any:
        value: Any = told
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    return get
