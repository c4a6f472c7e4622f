"""
Running an iterator where it belongs, and closing it, as far as that can be done.

What it yields is read at once, where it is made: SDKs go on changing what they have handed out.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeAlias

from nbstream.errors import SourceLost
from nbstream.sources.closing import to_the_end
from nbstream.sources.objects.handover import Handover
from nbstream.sources.objects.raised import error_of
from nbstream.sources.objects.sockets import shut_under, shut_what_it_reads

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from nbstream.sources.contract import Arrival

    #: Makes of an item what it says.
    Read: TypeAlias = Callable[[Any], Arrival]

#: How long closing waits for an iterator that is busy elsewhere, before it is left to itself.
PATIENCE_S = 0.05
#: How often the loop of an iterator is looked at: one that is closed says nothing.
LOOK_S = 0.25
CLOSED = "the event loop that this iterator belongs to is closed; make it anew and run again"
#: How long the iterator's own `aclose()` may take.
CLOSE_S = 5.0
#: After this an async iterator that goes on is cancelled again: up to Python 3.11 `asyncio.wait_for`, with which
#: LangChain waits for each chunk, loses a cancellation that comes together with one. That cannot be told from cleaning
#: up that takes its time, and that must not be cut short: it may leave a socket open, or a job running elsewhere.
INSIST_S = 2.0 if sys.version_info < (3, 12) else CLOSE_S
TIMES = int(2 * CLOSE_S / INSIST_S)


async def pump_here(
    iterable: Any, read: Read, left: Callable[[], None], *, ours: bool
) -> AsyncGenerator[list[Arrival], None]:
    """
    Iterate an async iterable on this loop; *left* is called if it could not be ended.

    *ours*: this loop is no user's. In a task of its own: what comes without a wait comes as one, and a flood is not
    paid for item by item.
    """
    handover = Handover()
    task = asyncio.ensure_future(_run_async(iterable, read, asyncio.get_running_loop(), handover, ours=ours))
    try:
        while items := await handover.take():
            yield items
    finally:
        handover.close()
        task.cancel()
        await to_the_end(_over(task, left))
    if handover.error is not None:
        raise error_of(handover.error)


async def pump_loop(
    iterable: Any, read: Read, loop: asyncio.AbstractEventLoop, left: Callable[[], None]
) -> AsyncGenerator[list[Arrival], None]:
    """Iterate an async iterable (or an awaitable of one) on *loop*; *left* is called if it could not be ended."""
    handover = Handover()
    running = _run_async(iterable, read, loop, handover)
    try:
        future = asyncio.run_coroutine_threadsafe(running, loop)
    except RuntimeError as exc:
        running.close()
        raise SourceLost(CLOSED) from exc
    watching = asyncio.ensure_future(_end_with(loop, handover))
    try:
        while items := await handover.take():
            yield items
    finally:
        watching.cancel()
        if not loop.is_closed():
            future.cancel()
            with contextlib.suppress(RuntimeError):  # it was closed just now
                loop.call_soon_threadsafe(_insist, handover)
        elif inspect.getcoroutinestate(running) == inspect.CORO_CREATED:
            running.close()  # it was closed before it could begin
        await to_the_end(_leave(handover, lambda: shut_under(handover.iterated), left))
    if isinstance(handover.error, asyncio.CancelledError):
        raise SourceLost("the event loop that this iterator belongs to has ended, or cancelled what reads it")
    if handover.error is not None:
        raise error_of(handover.error)


async def _end_with(loop: asyncio.AbstractEventLoop, handover: Handover) -> None:
    while not loop.is_closed():  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(LOOK_S)
    handover.end(SourceLost(CLOSED))


async def pump_thread(
    iterable: Iterable[Any], read: Read, left: Callable[[], None]
) -> AsyncGenerator[list[Arrival], None]:
    """Iterate a sync iterable in a thread of its own; *left* is called if it could not be ended."""
    handover = Handover()
    args = iterable, read, handover
    thread = threading.Thread(target=_run_sync, args=args, name="nbstream-iterator", daemon=True)
    thread.start()
    try:
        while items := await handover.take():
            yield items
    finally:
        await to_the_end(_leave(handover, lambda: shut_what_it_reads(thread), left))
    if handover.error is not None:
        raise error_of(handover.error)


async def call_in_thread(function: Callable[[], Any]) -> Any:
    """
    Call *function* in a daemon thread and return what it returns.

    `asyncio.to_thread` would make the interpreter wait for it at exit. If nobody waits for the result any more, it is
    closed as soon as it is there.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def deliver(result: Any, error: BaseException | None) -> None:
        if future.cancelled():
            _close_sync(result)
        else:
            future.set_result((result, error))

    def run() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as exc:  # noqa: BLE001 - told to whoever waits
            error = exc
        try:
            loop.call_soon_threadsafe(deliver, result, error)
        except RuntimeError:  # the loop is closed: nobody waits
            _close_sync(result)

    threading.Thread(target=run, name="nbstream-factory", daemon=True).start()
    result, error = await future
    if error is not None:
        raise error_of(error)
    return result


async def close_unused(obj: Any, loop: asyncio.AbstractEventLoop | None) -> None:
    """Close *obj*, which nobody has iterated, as it is closed behind its last item; *loop*: the one it belongs to."""
    if not hasattr(obj, "__aiter__") and not inspect.isawaitable(obj):
        await call_in_thread(lambda: _close_sync(obj))
    elif loop is None or loop is asyncio.get_running_loop():
        await _close_async(obj)
    elif loop.is_running():
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_close_async(obj), loop))


def _run_sync(iterable: Any, read: Read, handover: Handover) -> None:
    room = threading.Event()
    handover.on_room(room.set)
    error: BaseException | None = None
    entered = iterator = None
    try:
        if not hasattr(iterable, "__iter__"):
            # The `.stream()` helpers of SDKs return what has to be entered first.
            entered, iterable = iterable, iterable.__enter__()
        iterator = iter(iterable)
        for item in iterator:
            if handover.closed:
                break
            handover.put(read(item))
            while handover.full:
                room.clear()
                if handover.full:  # the taker may have made room just before
                    room.wait()
    except BaseException as exc:  # noqa: BLE001 - told to the taker; there is nobody else to tell in this thread
        error = exc
    finally:
        _close_sync(iterator, iterable)
        if entered is not None:
            with contextlib.suppress(Exception):
                entered.__exit__(None, None, None)
        handover.end(error)


async def _run_async(
    iterable: Any, read: Read, loop: asyncio.AbstractEventLoop, handover: Handover, *, ours: bool = False
) -> None:
    room = asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for room
            loop.call_soon_threadsafe(room.set)

    handover.on_room(wake)
    handover.task = asyncio.current_task()
    error: BaseException | None = None
    entered = iterator = None
    try:
        if inspect.isawaitable(iterable):
            iterable = await iterable
        if not hasattr(iterable, "__aiter__"):
            entered, iterable = iterable, await iterable.__aenter__()
        handover.iterated = iterable
        iterator = aiter(iterable)
        async for item in iterator:
            if handover.closed:
                break
            handover.put(read(item))
            while handover.full:
                room.clear()
                if handover.full:
                    await room.wait()
    except BaseException as exc:
        error = exc  # told to the taker
        # A KeyboardInterrupt belongs to the loop of its user; ours would end with it, and all its streams.
        if not (ours or isinstance(exc, Exception)):
            raise
    finally:
        try:
            await to_the_end(_close_async(iterator, iterable, entered=entered))
        finally:
            handover.end(error)  # also where closing was cancelled once more


async def _over(task: asyncio.Task[None], left: Callable[[], None]) -> None:
    for _ in range(TIMES):
        await asyncio.wait({task}, timeout=INSIST_S)
        if task.done():
            break
        task.cancel()
    if not task.done():
        left()
    elif not task.cancelled():
        task.exception()  # told by the handover; an interrupt has reached the loop already


def _insist(handover: Handover, times: int = TIMES) -> None:
    """Cancel what *handover* comes from again, on its own loop, as long as it goes on."""
    task = handover.task
    if task is not None and not task.done() and times:
        if times < TIMES:
            task.cancel()
        task.get_loop().call_later(INSIST_S, _insist, handover, times - 1)


async def _leave(handover: Handover, wake: Callable[[], None], left: Callable[[], None]) -> None:
    """End a maker somewhere else: it looks at its next item; one that waits for its server has to be woken."""
    handover.close()
    if not await handover.ended(PATIENCE_S / 2):
        wake()
        if not await handover.ended(PATIENCE_S):
            left()


def _close_sync(*things: Any) -> None:
    for thing in things:
        close = _closing(thing, ("close",))
        # What cannot be closed (a generator at work, an SDK whose connection is gone) is not ours to repair.
        with contextlib.suppress(Exception):
            if close is not None and not inspect.iscoroutinefunction(close):
                close()


async def _close_async(*things: Any, entered: Any = None) -> None:
    closings = [_closing(thing, ("aclose", "close")) for thing in things]
    if entered is not None:
        closings.append(lambda: entered.__aexit__(None, None, None))
    for close in closings:
        with contextlib.suppress(Exception):  # see _close_sync
            result = close() if close is not None else None
            if inspect.isawaitable(result):
                await asyncio.wait_for(result, CLOSE_S)


def _closing(thing: Any, names: tuple[str, ...]) -> Callable[[], Any] | None:
    """Return what closes *thing*, or the response that it reads."""
    found = (getattr(owner, name, None) for owner in (thing, getattr(thing, "response", None)) for name in names)
    return next((close for close in found if callable(close)), None)
