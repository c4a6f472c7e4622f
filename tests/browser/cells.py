"""Cells whose answers are known, and what a view may be waited for."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from nbstream.demo import DemoModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nbstream.demo import DemoServer

View = dict[str, Any]
#: About 900 characters, in 2 s.
TOKENS = 200


def ask(
    demo: DemoServer, prompt: str = "rivers", *options: str, tokens: int = TOKENS, rate: float = 100, **more: str
) -> str:
    """Return a cell that asks the demo server; `more` are further parameters, such as `fault`."""
    params = {"tokens_per_s": f"{rate:g}", "max_tokens": tokens, "run": f"run-{secrets.token_hex(4)}", **more}
    words = [
        f"--base-url {demo.url}/v1 --model demo",
        *options,
        *(f"-p {name}={value}" for name, value in params.items()),
    ]
    return f"%%stream {' '.join(words)}\n{prompt}"


def answer(prompt: str = "rivers", *, tokens: int = TOKENS) -> str:
    """Return what the demo model answers."""
    return DemoModel(0).text(prompt, max_tokens=tokens)


def block(until: Path) -> str:
    """Return a cell that keeps the kernel busy until a file is there."""
    return f"import pathlib, time\nwhile not pathlib.Path({str(until)!r}).exists():\n    time.sleep(0.02)"


def at_least(chars: int) -> Callable[[View], bool]:
    """At least so many characters are painted by a kernel that answers."""
    return lambda view: int(view["chars"]) >= chars and view["link"] == "live"


def state(name: str) -> Callable[[View], bool]:
    """The stream is in this state, as far as a kernel that answers says."""
    return lambda view: view["state"] == name and view["link"] == "live"


def whole(text: str) -> Callable[[View], bool]:
    """All of this text is painted and the stream is complete."""
    return lambda view: state("complete")(view) and int(view["chars"]) == len(text)


def lost(view: View) -> bool:
    """The view has noticed that its kernel is gone."""
    return bool(view["link"] == "lost")
