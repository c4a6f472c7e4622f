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
#: Ours -> those of OpenAI's Responses and of LangChain.
SNAKE: Final = {"input": "input_tokens", "output": "output_tokens", "total": "total_tokens"}


def used(get: Callable[[str], Any], words: Mapping[str, str]) -> dict[str, int]:
    """Return what was told by *words*, as far as it is a number; *get* returns what stands under one of theirs."""
    told = {ours: get(theirs) for ours, theirs in words.items()}
    return {ours: count for ours, count in told.items() if type(count) is int}
