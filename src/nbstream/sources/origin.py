"""Where an exception comes from: the line of the user's own code, which is neither ours nor installed."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_INSTALLED = ("site-packages", "dist-packages")
#: A notebook's cells have files, too, but none of these.
_OTHERS = (
    "<frozen ",
    f"{Path(__file__).parents[1].as_posix()}/",
    *(f"{Path(sysconfig.get_path(name)).as_posix()}/" for name in ("stdlib", "platstdlib")),
)


def line_of(exc: BaseException) -> str:
    """Return " in NAME, line N" of the innermost line of the user's code that *exc* passed, or nothing."""
    own = list(_own(exc))
    if not own:
        return ""
    # As in tracebacks, but a view takes no `<lambda>` for a tag.
    return f" in {own[-1].tb_frame.f_code.co_name.strip('<>')}, line {own[-1].tb_lineno}"


def raised_under(error: BaseException) -> BaseException | None:
    """Return the exception that the user's code raised and *error* tells of, or None: it tells of something else."""
    for one in (error.__cause__, error):
        if one is not None and (own := next(_own(one), None)) is not None:
            return one.with_traceback(own)  # without the frames of ours that called it
    return None


def _own(exc: BaseException) -> Iterator[TracebackType]:
    at = exc.__traceback__
    while at is not None:
        file = Path(at.tb_frame.f_code.co_filename)
        if not file.as_posix().startswith(_OTHERS) and not any(name in file.parts for name in _INSTALLED):
            yield at
        at = at.tb_next
