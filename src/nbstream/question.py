"""What a `%%stream` cell asks: its options and its text, as a source."""

from __future__ import annotations

import json
import math
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from nbstream.options import NbStream, options

if TYPE_CHECKING:
    from nbstream.conversation import Conversation

#: Names that -p would take away from an option, and where they are given.
_NOT_PARAMS = {
    "prompt": "write the prompt below %%stream",
    "model": "use --model",
    "base_url": "use --base-url",
    "system": "use --system",
    "headers": "give them in Python: nbstream.show(nbstream.chat(..., headers={...}))",
}


def arguments_of(parser: Any, line: str, spelled: str) -> Any:
    """Return the options on *line*; `UsageError` for what is none, *spelled* as the user wrote the magic."""
    try:
        return parser.parse_argstring(line)
    except (UsageError, ValueError) as exc:  # ValueError: a quote that is not closed
        msg = f"{spelled}: {exc} ({_hint(str(exc), parser, spelled)})"
        raise UsageError(msg) from None


def unknown_verb(verb: str, verbs: list[str]) -> str:
    """Return what to say to `%stream VERB`: it may be a typo, or a prompt."""
    meant = get_close_matches(verb, verbs, 1, 0.7)
    advice = f"did you mean {meant[0]}? A" if meant else f"use {', '.join(verbs)}; a"
    return f"%stream {verb}: unknown; {advice} prompt goes into the lines below %%stream"


def conversation_of(args: Any, cell: str, spelled: str) -> tuple[Conversation, str]:
    """Return the conversation that a `%%stream --in NAME` cell asks in, and what it asks."""
    from nbstream.conversation import Conversation

    for option, wrong in (("--url", args.url), ("--no-save", args.no_save)):
        if wrong:
            msg = f"{option} and --in NAME: a turn is asked of a model, and kept in the store"
            raise UsageError(msg)
    source_of(args, cell, spelled)  # whatever is wrong with the question is told as for any other
    given = {"base_url": args.base_url, **dict(_param(text) for text in args.params)}
    cut = args.cut or "keep"
    try:
        conversation = Conversation(
            args.model, system=args.system, name=args.conversation, cut=cut,  # type: ignore[arg-type]  # it checks that
            **{name: value for name, value in given.items() if value is not None},
        )  # fmt: skip
    except ValueError as exc:
        msg = f"{spelled}: {exc}"
        raise UsageError(msg) from None
    return conversation, cell.strip("\n")


def source_of(args: Any, cell: str, spelled: str) -> Any:
    """Return the source that a `%%stream` cell describes."""
    from nbstream.sources.http.sse import sse
    from nbstream.sources.models.chat import chat

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
        msg = f"{spelled}: {exc}"
        raise UsageError(msg) from None


def _hint(error: str, parser: Any, spelled: str) -> str:
    """Return what helps a user whose options were not understood."""
    lists = "%%stream? lists the options"
    known = [name for action in parser._actions for name in action.option_strings]  # noqa: SLF001 - it has no other list
    for word in error.split():
        option = word.partition("=")[0]
        name = option.lstrip("-").replace("-", "_")
        if word.startswith("--") and name in NbStream.class_trait_names(config=True):
            return f"for all cells: %config NbStream.{name} = ...; in Python, nbstream.show takes it too"
        unknown = word.startswith("--") and error.startswith("unrecognized")
        if unknown and (meant := get_close_matches(option, known, 1, 0.7)):
            return f"did you mean {meant[0]}? {lists}"
    return lists if spelled == "%stream" else f"the prompt goes into the lines below; {lists}"


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
