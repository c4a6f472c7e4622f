"""Is everything there that nbstream needs, where does it run, and what survives here? One line a thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbstream.doctor import installed, page, surroundings, trials

if TYPE_CHECKING:
    from nbstream.doctor.check import Check

__all__ = ["examine"]


def examine() -> list[Check]:
    """
    Look at what is installed and where this runs, then try what survives: about 4 s, on a page some more.

    To be called in the thread that runs the cell. The demo model answers; what the trials record is deleted.
    """
    return [*installed.checks(), *surroundings.checks(), *trials.checks(), *page.checks()]
