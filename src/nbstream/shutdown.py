"""Tells a kernel that is shut down for good from one that is restarted: its streams go on only in the second case."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable

_told_so = False
_watched: WeakSet[Any] = WeakSet()


def for_good() -> bool:
    """Whether this process's kernel was told to shut down and not to come back."""
    return _told_so


def watch(kernel: Any) -> None:
    """Note what *kernel* is told at its end; idempotent."""
    if kernel not in _watched:
        _watched.add(kernel)
        kernel.do_shutdown = partial(_do_shutdown, kernel.do_shutdown)


def _do_shutdown(do: Callable[[bool], Any], restart: bool) -> Any:  # noqa: FBT001 - ipykernel's signature
    global _told_so  # noqa: PLW0603 - a process ends once
    _told_so = not restart
    return do(restart)
