"""What a `%%stream` cell asks: its options and its text, as a source."""

from __future__ import annotations

import json
import math
from typing import Any

from IPython.core.error import UsageError

from nbstream.options import options

#: Names that -p would take away from an option, and where they are given.
_NOT_PARAMS = {
    "prompt": "write the prompt below %%stream",
    "model": "use --model",
    "base_url": "use --base-url",
    "system": "use --system",
    "headers": "give them in Python: nbstream.show(nbstream.chat(..., headers={...}))",
}


def source_of(args: Any, cell: str) -> Any:
    """Return the source that a `%%stream` cell describes."""
    from nbstream.sources.models import chat
    from nbstream.sources.sse import sse

    params = dict(_param(text) for text in args.params)
    prompt = cell.strip("\n")
    try:
        if args.url:
            given = {"-p": params, "--model": args.model, "--base-url": args.base_url, "--system": args.system}
            if wrong := [name for name, value in given.items() if value]:
                msg = f"{wrong[0]} goes with a model, not with --url: put parameters into the address"
                raise UsageError(msg)
            return sse(args.url, method="POST", content=prompt) if prompt.strip() else sse(args.url)
        if not prompt.strip():
            msg = "the cell is empty: write your prompt below %%stream"
            raise UsageError(msg)
        if args.base_url and not args.model:
            msg = f"--base-url {args.base_url}: name the model too, as that server calls it: --model NAME"
            raise UsageError(msg)
        return chat(
            prompt,
            model=args.model or options().model,
            base_url=args.base_url or options().base_url or None,
            system=args.system or options().system or None,
            **params,
        )
    except (ValueError, TypeError) as exc:
        msg = f"%%stream: {exc}"
        raise UsageError(msg) from None


def _param(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        msg = f"-p {text}: write it as NAME=VALUE"
        raise UsageError(msg)
    if name in _NOT_PARAMS:
        msg = f"-p {text}: {_NOT_PARAMS[name]}"
        raise UsageError(msg)
    try:
        return name, json.loads(value, parse_float=_finite, parse_constant=_no_number)
    except ValueError:
        return name, value


def _finite(text: str) -> float:
    """Read a number; `12e45678` is a word, not infinity."""
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(text: str) -> float:
    msg = f"{text} is no number of JSON"
    raise ValueError(msg)
