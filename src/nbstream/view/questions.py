"""What a page asks about the message it shows, and the name by which it knows that message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream.view.drawings import DrawingAnswers
from nbstream.view.ranges import RangeAnswers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nbstream.stream import Stream


def named(stream: str, losses: int) -> str:
    """
    Return what pages know *stream* by, whose store has lost records that they were sent so often.

    Behind a loss the same numbers are those of other records, as of another stream: pages begin anew with those.
    """
    return f"{stream}~{losses}" if losses else stream


class Questions:
    """Answers questions about one stream through *send*; *losses* as in `named`."""

    def __init__(self, send: Callable[[dict[str, Any]], None], losses: int = 0) -> None:
        def tell(answer: dict[str, Any]) -> None:
            send({**answer, "stream": named(answer["stream"], losses)})

        self._losses = losses
        self._ranges, self._drawings = RangeAnswers(tell), DrawingAnswers(tell)

    async def answer(self, stream: Stream, message: Mapping[str, Any]) -> None:
        """Answer a `read`, `find` or `picture`; one about another stream than is shown gets no answer."""
        if message.get("stream") != named(stream.id, self._losses):
            return
        answers = self._drawings if message["type"] == "picture" else self._ranges
        await answers.answer(stream, {**message, "stream": stream.id})
