"""A recorder on a memory store in time that a test controls."""

import asyncio
import gc
from concurrent.futures import Future, ThreadPoolExecutor

from nbstream.errors import StoreFull
from nbstream.log.memory import MemoryStore
from nbstream.log.readback import parts_of, records_of
from nbstream.recorder import Recorder
from nbstream.recorder.progress import Progress
from nbstream.records import Close, Delta, Open
from nbstream.testing import FakeClock

#: A test that hangs is a failed test.
LIMIT_S = 20


def run(main, limit_s=LIMIT_S):
    """
    Run the coroutine *main* in a loop whose hops through threads `FakeClock` can wait for.

    What asyncio would only log (a task that was forgotten, an error nobody asked for) is a failure.
    """
    complaints = []

    async def limited():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        loop.set_exception_handler(lambda loop, context: complaints.append(context))
        result = await asyncio.wait_for(main, limit_s)
        gc.collect()
        return result

    result = asyncio.run(limited())
    assert not complaints
    return result


async def until(condition):
    """Give everybody turns until *condition* holds; the time limit of `run` ends a test in which it never does."""
    while not condition():  # noqa: ASYNC110 - conditions of many kinds; each turn is half a millisecond at most
        await asyncio.sleep(0.0005)


def opening(intent="new", stream="s1", spec=None):
    """An `open` record."""
    return Open(stream, stream, intent, spec or {"kind": "scripted"}, "scripted", "pid 1", "host", "boot", 1.0)


class Recording:
    """One stream: `start` begins its first call, `resume` goes on as a new process would, from what the log says."""

    def __init__(self, store=None, clock=None, stream="s1", log=None, spec=None):
        self.store = store or MemoryStore()
        self.clock = clock or FakeClock()
        self.spec = spec
        started = self.store.start(opening(stream=stream, spec=spec))
        self.log, self.lock = started.log, started.lock
        #: The log as the recorder sees it.
        self.wrapped = log(self.log) if log else self.log
        self.task = self.recorder = None

    def start(self, source, **options):
        """Begin recording *source*."""
        return self._record(source, Progress(tail=0, opens=1), options)

    def resume(self, source, **options):
        """Append a further `open` and go on."""
        self.lock = self.store.lock(self.log.stream)
        assert self.lock is not None, "the recorder before still holds the stream"
        progress = Progress.of(self.log)
        again = opening("resume", self.log.stream, self.spec)
        self.log.append(progress.tail + 1, again)
        progress.add(again)
        return self._record(source, progress, options)

    def _record(self, source, progress, options):
        options = {"clock": self.clock, "jitter": lambda: 0.0, **options}
        self.recorder = Recorder(self.store, self.wrapped, source, self.lock, progress, **options)
        self.task = asyncio.ensure_future(self.recorder.run())
        return self

    def __await__(self):
        """Wait for the end of the call and return its `close`."""
        yield from self.task.__await__()
        return self.close

    async def after(self, seconds):
        """Let *seconds* of its clock pass."""
        await self.clock.advance(seconds)

    @property
    def live(self):
        return self.recorder.live

    @property
    def state(self):
        return self.recorder.live.state

    @property
    def records(self):
        return list(records_of(self.log))

    @property
    def deltas(self):
        return [record for record in self.records if isinstance(record, Delta)]

    @property
    def close(self):
        last = self.records[-1]
        return last if isinstance(last, Close) else None

    @property
    def text(self):
        return self.text_of("text")

    def text_of(self, kind, agent="assistant"):
        return "".join(part.text for part in parts_of(self.log) if part.kind == kind and part.agent == agent)

    def check(self):
        """What holds in every log: dense sequences, true `off`, no empty text, records small enough."""
        sequences, lengths = {}, {}
        for part in parts_of(self.log):
            sequences[part.agent] = sequences.get(part.agent, 0) + 1
            assert part.sequence == sequences[part.agent]
            name = part.agent, part.kind
            if part.kind in ("text", "reasoning", "refusal"):
                assert part.text
                assert part.off == lengths.get(name, 0)
                lengths[name] = part.off + len(part.text)
        assert sum(lengths.values()) == (self.close.chars if self.close else sum(lengths.values()))


class Around:
    """A log around a log: what a test changes is `submit`."""

    def __init__(self, log):
        self.log = log

    def __getattr__(self, name):
        return getattr(self.log, name)


class FullLog(Around):
    """Refuses the next `times` appends of records of `kind` as full."""

    times = 0
    kind = object

    def submit(self, offset, record):
        if self.times and isinstance(record, self.kind):
            self.times -= 1
            future = Future()
            future.set_exception(StoreFull("no space left on the device"))
            return future
        return self.log.submit(offset, record)


class AwayLog(Around):
    """Is out of reach for the next `times` reads, as a Redis that is away is."""

    times = 0

    def read(self, after=-1, *, limit=1000):
        if self.times:
            self.times -= 1
            raise StoreFull("Redis cannot be reached")
        return self.log.read(after, limit=limit)


class SlowLog(Around):
    """Stores a record when the test says so."""

    def __init__(self, log):
        super().__init__(log)
        self.waiting = []

    def submit(self, offset, record):
        future = Future()
        self.waiting.append((offset, record, future))
        return future

    def store_one(self):
        offset, record, future = self.waiting.pop(0)
        self.log.append(offset, record)
        future.set_result(None)


class SlowToSay(Around):
    """Stores every record at once, and says so of those that `held` chooses only when the test lets it."""

    def __init__(self, log):
        super().__init__(log)
        self.waiting = []

    @staticmethod
    def held(record):
        return False

    def submit(self, offset, record):
        future = self.log.submit(offset, record)
        if not self.held(record):
            return future
        future.result()
        self.waiting.append(Future())
        return self.waiting[-1]

    def say(self):
        while self.waiting:
            self.waiting.pop(0).set_result(None)
