"""The page's code, as it travels to a page: the loader with every widget, the engine and its parts when asked for."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

_STATIC = Path(__file__).parent / "static"

#: What a page may ask for, and nothing else: a name from a page never becomes a path.
PARTS = frozenset({"engine", "highlight", "math"})


@cache
def loader() -> str:
    """Return the script that every widget brings along."""
    return (_STATIC / "widget.js").read_text("utf-8")


@cache
def loader_style() -> str:
    """Return the style sheet that every widget brings along: what is shown before the engine comes."""
    return (_STATIC / "widget.css").read_text("utf-8")


def answer(name: str, version: str, *, packed: bool) -> tuple[dict[str, Any], list[bytes] | None]:
    """
    Return the message and the buffers that answer a page asking for a part; the first time this takes milliseconds.

    *version* is a hash of the code that belongs to the page's loader. When the package was replaced on disk meanwhile,
    there is no such code any more, and the answer says `missing`.
    """
    message = {"type": "code", "name": name, "version": version}
    found = _part(name) if name in PARTS else None
    if found is None or found[0] != version:
        return {**message, "missing": True}, None
    _, zipped = found
    if packed:
        return message, [zipped]
    return {**message, "text": gzip.decompress(zipped).decode("utf-8")}, None


def engine() -> bytes | None:
    """Return the packed engine, unless it is not the one that `loader` knows: replaced on disk between both."""
    version, zipped = _part("engine")
    return zipped if version in loader() else None


@cache
def _part(name: str) -> tuple[str, bytes]:
    """Return the version of a part (as js/build.mjs makes it) and its gzip; kept, a page may be reloaded often."""
    code = (_STATIC / f"{name}.js").read_bytes()
    return hashlib.sha256(code).hexdigest()[:12], gzip.compress(code, mtime=0)
