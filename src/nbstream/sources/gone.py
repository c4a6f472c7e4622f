"""A source that cannot be made again: what is left of it is its description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceRefused
from nbstream.sources.contract import Arrival, Traits

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from nbstream.records import Cursor
    from nbstream.sources.contract import Pulse


class Gone:
    """A source that only its cell can make again: the log knows its description, and no more."""

    note: str | None = None
    replayable = False
    fingerprint: str | None = None
    traits = Traits("none", "none", None, "none")

    def __init__(self, spec: Mapping[str, Any], why: str) -> None:
        self.spec, self._why = spec, why

    async def connect(self, cursor: Cursor | None, pulse: Pulse) -> AsyncGenerator[Arrival, None]:  # noqa: ARG002
        """Refuse."""
        if self._why:
            raise SourceRefused(self._why)
        yield Arrival()

    async def cancel(self, cursor: Cursor | None) -> None:
        """Do nothing."""
