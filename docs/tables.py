"""Writes the tables of docs/options.md from the code: `python docs/tables.py`. A test says when they are old."""

from __future__ import annotations

import re
from pathlib import Path

from nbstream.cli import _parser
from nbstream.magics import HELP, StreamMagics
from nbstream.options import NbStream

PAGE = Path(__file__).parent / "options.md"


def written() -> str:
    """Return the page as it should be."""
    page = PAGE.read_text("utf-8")
    for name, table in (("options", options), ("magic", magic), ("verbs", verbs), ("commands", commands)):
        between = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
        page = between.sub(lambda _, table=table: table(), page)
    return page


def options() -> str:
    """Return a row for each option."""
    rows = []
    for name, trait in NbStream.class_traits(config=True).items():
        value = f"`{trait.default_value!r}`"
        rows.append(f"| `{name}` | `NBSTREAM_{name.upper()}` | {value} | {_cell(trait.help)} |\n")
    return "| option | variable | default | what |\n|---|---|---|---|\n" + "".join(rows)


def magic() -> str:
    """Return a row for each argument of `%%stream`."""
    rows = []
    for action in StreamMagics.stream_cell.parser._actions:
        names, what = " ".join(f"`{one}`" for one in action.option_strings), (action.help or "").replace("%%", "%")
        rows += [f"| {names} | {_cell(what)} |\n"] if names else []
    return "| argument | what |\n|---|---|\n" + "".join(rows)


def verbs() -> str:
    """Return what `%stream help` prints."""
    return f"```text\n{HELP}\n```\n"


def commands() -> str:
    """Return a row for each command of `nbstream`."""
    (sub,) = [action for action in _parser()._actions if action.dest == "command"]
    rows = [f"| `nbstream {one.dest}` | {_cell(one.help or '')} |\n" for one in sub._choices_actions]
    return "| command | what |\n|---|---|\n" + "".join(rows)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(written(), "utf-8")
