"""
The one thread that reads logs for all readers.

A read takes 15 us, going to another thread and back 65 us, and writing what was read to a socket 60 us, however little
it is. So what is asked while it reads is read next, in one go; and after each round it rests a moment for each question
of it, in which more arrives. A single reader does not notice; of fifty, each gets two records at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

from nbstream.log.contract import Want

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.log.contract import Store
    from nbstream.records import Record

T = TypeVar("T")
#: A question that yields what it has to read, and is sent the records: what all of a round want is read at once.
Reading: TypeAlias = "Generator[Want, list[Record], T]"

#: 50 streams of 100 records a second with a reader each: without the rest they take 0.7 of a core, with it 0.2, and a
#: record reaches its reader after 14 ms (median) instead of 3.
REST_S = 0.0003
LONGEST_REST_S = 0.05
#: So many that read on and on, so often within a second, are a crowd; who has just come reads two or three times. Then
#: tokens are gathered before they are stored (`Runtime.unhurried`), and all that follows is done for several at a time.
#: 50 streams x 100 tokens/s with a reader each: p99 132 ms, without it 2.5 s (`bench/relay.py many`, both in one hour).
CROWD, OFTEN = 20, 4


class Desk:
    """Answers short questions (a few ms at most) about the logs of *store*. For one loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, "nbstream-read")
        self._asked: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._busy = False
        #: How often logs were read in this second; each reader has one of its own.
        self._reads: Counter[int] = Counter()
        self._crowded, self._since = False, time.monotonic()

    def crowded(self) -> bool:
        """Whether so many read that a record waits for others anyway; looked at once a second."""
        return self._crowded

    @overload
    async def ask(self, question: Callable[[], Reading[T]]) -> T: ...
    @overload
    async def ask(self, question: Callable[[], T]) -> T: ...
    async def ask(self, question: Callable[[], Any]) -> Any:
        """Return what *question* (or the `Reading` it returns) returns, or raise what it raises."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked.append((question, answer))
        if not self._busy:
            self._next(asyncio.get_running_loop())
        return await answer

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        asked, self._asked = self._asked, []
        self._busy = bool(asked)
        if asked:
            done = loop.run_in_executor(self._thread, self._answer, [question for question, _ in asked])
            done.add_done_callback(lambda done: self._hand_out([answer for _, answer in asked], done))

    def _answer(self, questions: list[Callable[[], Any]]) -> list[_Answering]:
        """Answer all in one round (in the thread)."""
        answering = [_Answering(question) for question in questions]
        while reading := {one: one.want for one in answering if one.want is not None}:
            found: list[Any]
            try:
                found = self._store.read(list(reading.values()))
            except Exception as exc:  # noqa: BLE001 - it is raised where it was asked
                found = [exc for _ in reading]
            for one, records in zip(reading, found, strict=True):
                one.go_on(records)
            self._reads.update(id(want.log) for want in reading.values())
        if (now := time.monotonic()) >= self._since + 1:
            self._crowded = sum(count >= OFTEN for count in self._reads.values()) >= CROWD
            self._reads, self._since = Counter(), now
        return answering

    def _hand_out(self, answers: list[asyncio.Future[Any]], done: asyncio.Future[list[_Answering]]) -> None:
        for answer, given in zip(answers, done.result(), strict=True):
            if answer.done():
                continue  # who asked has gone
            if given.error is None:
                answer.set_result(given.value)
            else:
                answer.set_exception(given.error)
        loop = done.get_loop()
        loop.call_later(min(len(answers) * REST_S, LONGEST_REST_S), self._next, loop)


class _Answering:
    """One question on its way: what it has to read next, and in the end its answer."""

    def __init__(self, question: Callable[[], Any]) -> None:
        self.want: Want | None = None
        self.value: Any = None
        self.error: Exception | None = None
        self._reading = _asking(question)
        self._step(self._reading.send, None)

    def go_on(self, records: list[Record] | Exception) -> None:
        """Let it have what it wanted, or why there is nothing."""
        step = self._reading.throw if isinstance(records, Exception) else self._reading.send
        self._step(step, records)

    def _step(self, step: Callable[[Any], Want], said: Any) -> None:
        self.want = None
        try:
            self.want = step(said)
        except StopIteration as end:
            self.value = end.value
        except Exception as exc:  # noqa: BLE001 - it is raised where it was asked
            self.error = exc


def _asking(question: Callable[[], Any]) -> Generator[Want, Any, Any]:
    found = question()
    return (yield from found) if isinstance(found, Generator) else found
