"""Files that an administrator writes, TOML or JSON: read whole, and every mistake in them named with its line."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbstream.errors import RelayError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One `[[table]]` of a file."""

    file: Path
    line: int
    fields: dict[str, Any]

    def wrong(self, why: str) -> RelayError:
        """Return the error that names this place."""
        return RelayError(f"{self.file}, line {self.line}: {why}")

    def text(self, name: str) -> str | None:
        """Return a field that holds text, None if it is left out."""
        value = self.fields.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            raise self.wrong(f"{name} must be text")
        return value

    def count(self, name: str, default: int) -> int:
        """Return a field that holds a whole number from 0 on."""
        value = self.fields.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.wrong(f"{name} must be a whole number from 0 on")
        return value

    def only(self, known: frozenset[str]) -> None:
        """Refuse a field that nobody knows: a misspelled limit would be none."""
        for name in self.fields:
            if name not in known:
                raise self.wrong(f"unknown {name!r}; use {', '.join(sorted(known))}")


def entries(file: Path, table: str) -> list[Entry]:
    """Return the tables called *table* in *file*, which holds nothing else; raises `RelayError` with file and line."""
    try:
        text = file.read_text("utf-8")
    except OSError as exc:
        raise RelayError(f"{file} cannot be read ({exc.strerror})") from exc
    except UnicodeDecodeError:
        raise RelayError(f"{file} is not UTF-8 text") from None
    is_json = text.lstrip().startswith("{")
    data = _json(file, text) if is_json else _toml(file, text)
    for name in data:
        if name != table:
            raise RelayError(f"{file}, line {_line(text, name)}: unknown {name!r}; it holds {table!r} only")
    found = data.get(table)
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise RelayError(
            f"{file}, line {_line(text, table)}: needs at least one [[{table}]] (in JSON a list of objects)"
        )
    starts = re.compile(r"\{" if is_json else rf"^\s*\[\[\s*[\"']?{table}[\"']?\s*\]\]", re.MULTILINE)
    # In JSON the first brace is that of the file; an entry with braces of its own names a line near it.
    lines = [text.count("\n", 0, match.end()) + 1 for match in starts.finditer(text)][is_json:]
    return [Entry(file, lines[n] if n < len(lines) else 1, one) for n, one in enumerate(found)]


def stamp(file: Path) -> tuple[int, int, int]:
    """Return what changes when *file* does; zeros when it is not there."""
    try:
        found = file.stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_size, found.st_mtime_ns


def _json(file: Path, text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except json.JSONDecodeError as exc:
        raise RelayError(f"{file}, line {exc.lineno}: {exc.msg}") from None
    except (ValueError, TypeError, RecursionError):
        raise RelayError(f"{file}, line 1: a JSON object is needed") from None


def _toml(file: Path, text: str) -> dict[str, Any]:
    try:
        toml = importlib.import_module("tomllib")  # of Python 3.11
    except ModuleNotFoundError:
        raise RelayError(f"{file}: TOML needs Python 3.11; write it as JSON") from None
    try:
        return dict(toml.loads(text))
    except ValueError as exc:
        why, _, place = str(exc).partition(" (at ")
        line = re.search(r"line (\d+)", place)
        raise RelayError(f"{file}, line {line[1] if line else text.count(chr(10)) + 1}: {why}") from None


def _line(text: str, word: str) -> int:
    return text.count("\n", 0, max(text.find(word), 0)) + 1
