"""A new generation behind the text of one that was cut, as a source."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceRefused
from nbstream.sources.contract import Arrival, End
from nbstream.sources.http.sse import SSESource
from nbstream.sources.prefill import CONVERSATIONS, model_of, ways
from nbstream.sources.seam import Seam, whole_words, word_boundary

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from nbstream.records import Cursor
    from nbstream.sources.contract import Pulse, Source, Traits

#: The status with which a model refuses a prefill.
REFUSED = 400


def can_continue(spec: Mapping[str, Any]) -> bool:
    """Whether a source that describes itself so can be asked to go on behind a text."""
    return spec.get("method") == "POST" and spec.get("format") in CONVERSATIONS


def continuing(source: Source, text: str, usage: Mapping[str, int]) -> Continuing:
    """
    Return the source that goes on behind *text*, what *source* has said so far; *usage* is what that has cost.

    Raises `SourceRefused` with one line where there is nothing to go on behind, or nobody knows how.
    """
    original = source.original if isinstance(source, Continuing) else source
    if not isinstance(original, SSESource):
        raise SourceRefused("it came from Python code of the notebook: run the cell that made it")
    return Continuing(original, text, usage)


class Continuing:
    """
    Goes on behind *text*; made by `continuing`.

    It describes itself as *original* does: it is the same question, and Regenerate asks that. It has no cursor: what is
    cut again is continued again. Nothing shown is taken back before the new generation has said something.
    """

    note: str | None = None
    #: Each call is a new generation.
    replayable = False

    def __init__(self, original: SSESource, text: str, usage: Mapping[str, int]) -> None:
        self.original = original
        self._text, self._usage = text, usage
        self._stays = word_boundary(text)
        said = whole_words(text)
        if not said:
            raise SourceRefused("not a whole word has come that it could go on behind: Regenerate asks anew")
        self._ways = list(ways(original.call, original.format, said))
        self._model = model_of(original.call)

    @property
    def spec(self) -> Mapping[str, Any]:
        """See `Source.spec`."""
        return self.original.spec

    @property
    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return self.original.fingerprint

    @property
    def traits(self) -> Traits:
        """See `Source.traits`."""
        return self.original.traits

    async def connect(self, cursor: Cursor | None, pulse: Pulse) -> AsyncGenerator[Arrival, None]:  # noqa: ARG002 - none is given
        """Make the call; a prefill that is refused is followed by a user's turn, in this call and the next ones."""
        while True:
            try:
                async with aclosing(self._say(pulse)) as arrivals:
                    async for arrival in arrivals:
                        yield arrival
            except SourceRefused as exc:
                if exc.status != REFUSED or len(self._ways) == 1:
                    raise
                del self._ways[0]
            else:
                return

    async def cancel(self, cursor: Cursor | None) -> None:
        """See `Source.cancel`."""
        await self.original.cancel(cursor)

    async def _say(self, pulse: Pulse) -> AsyncGenerator[Arrival, None]:
        call, prefilled = self._ways[0]
        how = "behind its own words" if prefilled else "behind a turn of the user"
        seam = Seam(self._text, self._stays, f"{self._model}, {how}", prefilled=prefilled)
        async with aclosing(SSESource(call, self.original.format).connect(None, pulse)) as arrivals:
            async for arrival in arrivals:
                joined = self._joined(arrival, seam)
                if arrival.end is not None and seam.unanswered:
                    # Without its last word the text would be less than was shown; with it, half a word was "complete".
                    raise SourceRefused("the new generation added nothing: the text stays as it was")
                yield joined

    def _joined(self, arrival: Arrival, seam: Seam) -> Arrival:
        """Return *arrival* as part of the whole message: its own places and lengths are those of another one."""
        end, usage = arrival.end, arrival.usage
        return Arrival(
            seam.take(arrival.parts, over=end is not None),
            end=End(end.finish, end.raw_finish) if end else None,
            usage={name: count + self._usage.get(name, 0) for name, count in usage.items()} if usage else None,
            model=arrival.model,
            pieces=arrival.pieces,
        )
