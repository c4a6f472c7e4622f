"""The page's code, as it travels to a page: the loader with every widget, the engine and its parts when asked for."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from nbstream.version import __version__

_STATIC = Path(__file__).parent / "static"

#: What a page may ask for, and nothing else: a name from a page never becomes a path.
PARTS = ("engine", "find", "highlight", "math", "pictures")


@cache
def loader() -> str:
    """Return the script that every widget brings along."""
    return (_STATIC / "widget.js").read_text("utf-8")


@cache
def loader_style() -> str:
    """Return the style sheet that every widget brings along: what is shown before the engine comes."""
    return (_STATIC / "widget.css").read_text("utf-8")


@cache
def build() -> str:
    """Return which build the parts on disk are; js/build.mjs counts it in the same way, for the loader."""
    found = hashlib.sha256()
    for name in PARTS:
        found.update(_read(name))
    return f"{__version__}-{found.hexdigest()[:12]}"


def engine() -> bytes | None:
    """Return the packed engine, unless it is not of the loader's build: replaced on disk between both."""
    return _packed("engine") if build() in loader() else None


def answer(name: str, version: str, *, packed: bool) -> tuple[dict[str, Any], list[bytes] | None]:
    """
    Return the message and the buffers that answer a page asking for a part; the first time this takes milliseconds.

    *version* is the build of the page's loader. When the package was replaced on disk meanwhile there is no such code
    any more, and the answer says `missing`.
    """
    message = {"type": "code", "name": name, "version": version}
    if name not in PARTS or version != build():
        return {**message, "missing": True}, None
    if packed:
        return message, [_packed(name)]
    return {**message, "text": _read(name).decode("utf-8")}, None


@cache
def _packed(name: str) -> bytes:
    """Return the gzip of a part; kept, a page may be reloaded often."""
    return gzip.compress(_read(name), mtime=0)


@cache
def _read(name: str) -> bytes:
    return (_STATIC / f"{name}.js").read_bytes()
