"""The guard on real sockets: what it finds is closed, counted by the operating system; what is wanted stays."""

import asyncio
import gc
import os
from contextlib import aclosing

import psutil
import pytest

from nbstream.guard import Fault
from nbstream.log.memory import MemoryStore
from nbstream.recorder import Recorder
from nbstream.recorder.guarding import LOOKS, Guard
from nbstream.recorder.progress import Progress
from nbstream.recorder.totals import Totals
from nbstream.records import Open
from nbstream.sources.contract import End
from nbstream.sources.http.answer import answer
from nbstream.sources.http.call import Call
from nbstream.sources.http.connections import connections, standing
from nbstream.sources.http.sse import sse
from nbstream.testing import SILENCE, Answer, FaultServer, ScriptedSource

#: Longer than any of this takes.
PATIENCE_S = 10.0


@pytest.fixture
def server():
    """Return a server that says one word and then nothing, for ever."""
    with FaultServer() as made:
        made.script([], otherwise=Answer.sse('data: {"type": "delta", "text": "word"}\n\n', end="stall"))
        yield made
        made.wait_closed(2.0)


def sockets(server):
    """Return how many connections to *server* the operating system knows in this process, on the client's side."""
    own = psutil.Process(os.getpid()).net_connections("tcp")
    return sum(bool(one.raddr) and one.raddr.port == server.port and one.status == "ESTABLISHED" for one in own)


async def until(ready):
    """Wait until *ready()* holds."""

    async def poll():
        while not ready():  # noqa: ASYNC110 - conditions of many kinds
            await asyncio.sleep(0.005)

    await asyncio.wait_for(poll(), PATIENCE_S)


class Recording:
    """A recorder on a memory store, and a guard that looks when the test says so."""

    def __init__(self, source, stream="s1"):
        self.store = MemoryStore()
        first = Open(stream, stream, "new", {"kind": "test"}, "test", "pid 1", "host", "boot", 1.0)
        log, lock = self.store.start(first)
        self.recorder = Recorder(self.store, log, source, lock, Progress(tail=0, opens=1))
        self.totals = Totals()
        self.guard = Guard(lambda: {} if self.task.done() else {stream: self.recorder}, self.totals)
        self.task = asyncio.ensure_future(self.recorder.run())

    async def looks(self, count=LOOKS):
        """Let the guard look *count* times; return what it closed."""
        return [finding.fault for _ in range(count) for finding in await self.guard.look()]


class Careless(ScriptedSource):
    """A source as users write them: the task that holds the connection outlives the call."""

    def __init__(self, url, *script, times=1):
        super().__init__(script)
        self.url, self.times = url, times
        self.tasks = []

    async def connect(self, cursor, pulse):
        for _ in range(self.times):
            opened = asyncio.Event()
            self.tasks.append(asyncio.ensure_future(self.hold(opened)))
            await opened.wait()
        async with aclosing(super().connect(cursor, pulse)) as arrivals:
            async for arrival in arrivals:
                yield arrival

    async def hold(self, opened):
        async with answer(Call.of("GET", self.url)):
            opened.set()
            await asyncio.Event().wait()

    async def end(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def test_a_connection_that_a_source_left_open_is_closed(server):
    """The call is complete and the stream at rest; the forgotten connection is found, closed and counted once."""

    async def main():
        source = Careless(server.url, "text", End())
        recording = Recording(source)
        await asyncio.wait_for(recording.task, PATIENCE_S)
        assert sockets(server) == 1
        assert [(one.owner, one.url) for one in connections()] == [("s1", server.url)]
        assert await recording.looks(LOOKS - 1) == []
        assert sockets(server) == 1
        assert await recording.looks(1) == [Fault.LEAKED]
        assert sockets(server) == 0
        assert await recording.looks() == []
        assert (recording.totals.leaks_closed, connections()) == (1, [])
        await source.end()

    asyncio.run(main())


def test_the_older_of_two_connections_is_closed(server):
    """One call has opened two connections: the newer one stays."""

    async def main():
        source = Careless(server.url, "text", SILENCE, times=2)
        recording = Recording(source)
        await until(lambda: recording.recorder.chars)
        older, newer = connections()
        assert await recording.looks() == [Fault.DUPLICATE]
        assert connections() == [newer]
        assert older.opened_at <= newer.opened_at
        assert sockets(server) == 1
        recording.recorder.stop()
        await asyncio.wait_for(recording.task, PATIENCE_S)
        assert await recording.looks() == [Fault.LEAKED]
        assert sockets(server) == 0
        await source.end()

    asyncio.run(main())


def test_a_call_that_does_not_end_when_told_is_closed(server):
    """Stop was pressed and the source cleans up for ever: the guard closes its connection."""

    class Stubborn(Careless):
        async def connect(self, cursor, pulse):
            arrivals = super().connect(cursor, pulse)
            try:
                async for arrival in arrivals:
                    yield arrival
            finally:
                await cleaned_up.wait()
                await arrivals.aclose()

    async def main():
        nonlocal cleaned_up
        cleaned_up = asyncio.Event()
        source = Stubborn(server.url, "text", SILENCE)
        recording = Recording(source)
        await until(lambda: recording.recorder.chars)
        assert await recording.looks() == []
        recording.recorder.stop()
        await until(lambda: recording.recorder.ending)
        assert sockets(server) == 1
        assert await recording.looks() == [Fault.ZOMBIE]
        assert sockets(server) == 0
        cleaned_up.set()
        await asyncio.wait_for(recording.task, PATIENCE_S)
        await source.end()

    cleaned_up = None
    asyncio.run(main())


def test_what_is_wanted_is_left_alone(server):
    """A call at work, in silence and while it is stopped: the guard finds nothing, and nothing stays open."""

    async def main():
        recording = Recording(sse(server.url, format="nbstream"))
        await until(lambda: recording.recorder.chars)
        assert [one.owner for one in connections()] == ["s1"]
        assert await recording.looks(5 * LOOKS) == []
        assert sockets(server) == 1
        recording.recorder.stop()
        assert await recording.looks(LOOKS - 1) == []  # it takes a moment to close
        await asyncio.wait_for(recording.task, PATIENCE_S)
        assert await recording.looks() == []
        assert (sockets(server), connections()) == (0, [])
        assert recording.totals.leaks_closed == 0

    asyncio.run(main())


def test_a_guard_that_runs_closes_by_itself(server):
    """Left to itself it looks in its own time, and goes on behind a connection that will not close."""

    async def unwilling():
        raise OSError("no")

    async def main():
        complaints = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context["message"]))
        totals = Totals()
        guard = asyncio.ensure_future(Guard(dict, totals, every_s=0.01).run())
        async with answer(Call.of("GET", server.url)):
            with standing("http://key-less.example", unwilling):
                await until(lambda: totals.leaks_closed == 2)
                assert sockets(server) == 0
        guard.cancel()
        await asyncio.gather(guard, return_exceptions=True)
        gc.collect()
        assert complaints == ["closing a leaked connection to http://key-less.example failed"]

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))


def test_other_loops_are_not_its_business(server):
    """A connection of another loop, somebody's own script in the same process, is not touched."""

    async def main():
        guard = Guard(dict, Totals())
        async with answer(Call.of("GET", server.url)):
            found = await asyncio.to_thread(lambda: asyncio.run(looked(guard)))
            assert (found, sockets(server)) == ([], 1)

    async def looked(guard):
        return [finding for _ in range(2 * LOOKS) for finding in await guard.look()]

    asyncio.run(main())


def test_a_list_of_connections_names_no_key(server):
    """User, password and keys of an address are not in the list that others show."""

    async def main():
        url = server.url.replace("http://", "http://me:wordword@") + "/x?api_key=quiet-harbour&n=1"
        async with answer(Call.of("GET", url)):
            (one,) = connections()
            assert one.url == server.url.replace("http://", "http://***@") + "/x?api_key=***&n=1"
            assert "quiet" not in repr(one)

    asyncio.run(main())
