"""The short way for chunks of a chat that say nothing but text: nearly all do, and read in full each costs twice."""

from __future__ import annotations

from typing import Any


def text_alone(chunk: Any, before: Any) -> str | None:
    """
    Return the text of *chunk* if it says nothing else: same message and model as *before*, first choice, no end.

    None for every other item, and for what is not pydantic's: only there it can be seen that nothing else was sent.
    """
    try:
        (choice,) = chunk.choices
        delta = choice.delta
        said = vars(delta)
        text = said["content"]
        more = chunk.__pydantic_extra__ or choice.__pydantic_extra__ or delta.__pydantic_extra__
        if more or choice.finish_reason or choice.index or chunk.usage is not None:
            return None
        if chunk.id != before.id or chunk.model != before.model:
            return None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    fields = 1 if said.get("role") is None else 2
    alone = len(said) - list(said.values()).count(None) == fields
    return text if alone and type(text) is str and text else None
