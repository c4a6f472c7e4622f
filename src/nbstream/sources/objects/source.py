"""
Python objects as sources: generators, SDK streams, async iterators, and factories that make one.

A sync iterator runs in a daemon thread of its own: it may block in `next()` for as long as it likes, and not even
closing it wakes it. An async iterator runs on the loop it belongs to, the one that was running when we got it.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeAlias

from nbstream.errors import SourceError, SourceRefused
from nbstream.records import TEXT_KINDS
from nbstream.sources.contract import Arrival, Traits
from nbstream.sources.http.joining import joined
from nbstream.sources.objects.cumulative import Cumulative
from nbstream.sources.objects.digest import digest_of
from nbstream.sources.objects.items import ItemReader
from nbstream.sources.objects.pump import call_in_thread, close_unused, pump_here, pump_loop, pump_thread
from nbstream.sources.objects.raised import error_of
from nbstream.sources.redaction import Redactor, secrets_of_environment

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping

    from nbstream.records import Cursor
    from nbstream.sources.contract import Pulse, Resume
    from nbstream.sources.objects.pump import Read

    Streamable: TypeAlias = Iterable[Any] | AsyncIterable[Any] | Awaitable[Any] | Callable[..., Any]

__all__ = ["ObjectSource", "from_object"]

#: What an object has that can be iterated, or entered and then iterated.
_ASYNC = ("__aiter__", "__aenter__")
_SYNC = ("__iter__", "__enter__")

LEFT_RUNNING = "the call may run until its next item"
NEEDS_ITS_LOOP = "moves only while the cell's event loop is free"


def from_object(obj: Streamable, *, cumulative: bool = False) -> ObjectSource:
    """
    Return a source for a Python object.

    *obj* is an iterable or async iterable (a generator, an SDK's stream), an awaitable of one, a context manager that
    gives one (`client.messages.stream(...)`: not entered yet), or a factory: a function that makes one, called when the
    stream starts. A factory with one parameter gets the cursor `{"items": n, "chars": m}` of what has already arrived,
    None at first, and can so go on behind it: only such a factory can be resumed. Running the cell again resumes it
    only if code and data that it reads are the same; one that reads other objects (a client made in the notebook) is
    never taken for the same: make them inside it.

    Items are str, `Part`, native frames as dicts, what the SDKs of OpenAI, Anthropic, Google, Mistral, Ollama, Bedrock
    and those like them yield (objects or dicts), or what agents yield: LangGraph (`graph.astream(...,
    stream_mode=["messages", "updates"], subgraphs=True)`), LangChain's messages and events, AG-UI events,
    pydantic-ai's, the OpenAI Agents SDK (`result.stream_events()`). Others are recorded by their type's name. The
    iterator's end is the end mark, except behind items whose format has one of its own (a finish_reason, message_stop,
    RUN_FINISHED): without it the stream was cut.

    *cumulative*: every item repeats the whole text so far; only what is new of it is text, and what it says otherwise
    is taken back.
    """
    if isinstance(obj, dict) and hasattr(obj.get("stream"), "__iter__"):
        obj = obj["stream"]  # what boto3's converse_stream() returns
    if isinstance(obj, (str, bytes, bytearray, dict)):
        raise TypeError(f"a {type(obj).__name__} is no stream: give an iterator, an async iterator or a factory")
    if _streams(obj) or inspect.isawaitable(obj):
        return ObjectSource(obj, cumulative=cumulative)
    if callable(obj):
        return ObjectSource(None, factory=obj, cumulative=cumulative)
    raise TypeError(f"{type(obj).__name__} is no stream: give an iterator, an async iterator or a factory")


def _streams(obj: Any) -> bool:
    return any(hasattr(obj, name) for name in (*_ASYNC, *_SYNC))


def _is_async(obj: Any) -> bool:
    if not any(hasattr(obj, name) for name in _SYNC):
        return any(hasattr(obj, name) for name in _ASYNC)
    # LiteLLM's wrapper is both, and would wait for its server on the loop if what it wraps is not async.
    inner, call = getattr(obj, "completion_stream", None), getattr(obj, "make_call", None)
    return (
        hasattr(inner, "__aiter__") or inspect.iscoroutinefunction(call) if inner or call else hasattr(obj, "__aiter__")
    )


class ObjectSource:
    """An iterator that is here already, or a factory that makes one. Made by `from_object`."""

    replayable = False

    def __init__(self, obj: Any, *, factory: Callable[..., Any] | None = None, cumulative: bool = False) -> None:
        self._obj, self._factory, self._cumulative = obj, factory, cumulative
        self._connected = False
        self._error: SourceError | None = None
        self._takes_cursor = factory is not None and _takes_argument(factory)
        if cumulative and self._takes_cursor:
            raise TypeError("a factory that gets a cursor says only what is new: leave cumulative=True out")
        # Now, not when asked: what the factory reads may change while it runs, and the question is what it was.
        self._digest = None if factory is None else digest_of(factory)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.note: str | None = None
        if inspect.isawaitable(obj) or _is_async(obj):
            try:
                self._loop = asyncio.get_running_loop()
            except RuntimeError:
                self._loop = None  # it has no loop yet: it will get the one that connects
            else:
                self.note = NEEDS_ITS_LOOP

    def __repr__(self) -> str:
        return f"<source {self.spec['type']}>"

    @property
    def spec(self) -> Mapping[str, Any]:
        """The type of the object, or the name of the factory; one without a fingerprint is an object to the log."""
        if self._factory is None:
            return {"kind": "object", "type": _name(type(self._obj))}
        return {"kind": "object" if self._digest is None else "factory", "type": _name(self._factory)}

    @property
    def fingerprint(self) -> str | None:
        """
        Name and digest of a factory, see `digest_of`.

        None for an object, whose call was made before we saw it, and for a factory that reads what has no digest.
        """
        if self._digest is None:
            return None
        cumulative = ":cumulative" if self._cumulative else ""
        return f"factory:{_name(self._factory)}:{self._digest}{cumulative}"

    @property
    def traits(self) -> Traits:
        """The iterator's own end, or that of its items' format; and what it raises."""
        resume: Resume = "cursor" if self._takes_cursor else "none"
        return Traits("the iterator's end", "an exception", None, resume, cancel="close the iterator")

    async def connect(self, cursor: Cursor | None, pulse: Pulse) -> AsyncGenerator[Arrival, None]:
        """Iterate, and yield what arrives; see `Source.connect`."""
        if self._factory is None and self._connected:
            before = f"{self._error}; " if self._error else ""
            raise SourceRefused(f"{before}an object is used up by its first run: make it anew, or give a factory")
        self._connected = True
        try:
            async with aclosing(self._arrivals(cursor, pulse)) as arrivals:
                async for arrival in arrivals:
                    yield arrival
        except SourceError as exc:
            # Its keys are the user's code's business; most of them come from the environment.
            exc.args = (Redactor(secrets_of_environment(os.environ))(str(exc)),)
            self._error = exc
            raise
        finally:
            if self.note == NEEDS_ITS_LOOP:
                self.note = None  # it moves no more

    async def cancel(self, cursor: Cursor | None) -> None:  # noqa: ARG002 - closing needs no place
        """Close an object that was never iterated (stopped while it waited for its turn): its call was made before."""
        if self._factory is None and not self._connected:
            self._connected = True
            await close_unused(self._obj, self._loop if _is_async(self._obj) else None)

    async def _arrivals(self, cursor: Cursor | None, pulse: Pulse) -> AsyncGenerator[Arrival, None]:
        obj = self._obj if self._factory is None else await self._make(cursor)
        yield Arrival()
        reader = ItemReader()
        so_far = Cumulative() if self._cumulative else None

        def read(item: Any) -> Arrival:
            arrival = reader.read(item)
            return so_far.new(arrival) if so_far is not None else arrival

        items: int = cursor.get("items", 0) if cursor else 0
        chars: int = cursor.get("chars", 0) if cursor else 0
        async with aclosing(await self._pump(obj, read)) as batches:
            async for batch in batches:
                pulse.last_byte = time.monotonic()
                for arrival in joined(batch) if len(batch) > 1 and not self._takes_cursor else batch:
                    error, cursor = arrival.error, None
                    if self._takes_cursor:
                        items += 1
                        chars += sum(len(part.text) for part in arrival.parts if part.kind in TEXT_KINDS)
                        cursor = {"items": items, "chars": chars}
                    yield arrival if error is None and cursor is None else arrival._replace(cursor=cursor, error=None)
                    if error is not None:
                        raise error
        yield reader.eof()

    async def _make(self, cursor: Cursor | None) -> Any:
        """Call the factory; in a thread unless it is async, since it may well wait for its server's first byte."""
        factory = self._factory
        assert factory is not None  # noqa: S101 - for the type checker
        arguments = (None if cursor is None else dict(cursor),) if self._takes_cursor else ()
        make = functools.partial(factory, *arguments)
        try:
            if inspect.iscoroutinefunction(factory) or inspect.isasyncgenfunction(factory):
                obj = make()
            else:
                obj = await call_in_thread(make)
            return await obj if inspect.isawaitable(obj) else obj
        except (SourceError, asyncio.CancelledError, GeneratorExit):
            raise  # an error that knows its cause, or our own end
        except BaseException as exc:  # a SystemExit would end our loop, and all its streams
            raise error_of(exc) from exc

    async def _pump(self, obj: Any, read: Read) -> AsyncGenerator[list[Arrival], None]:
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            return pump_loop(obj, read, self._loop, self._left)
        try:
            if inspect.isawaitable(obj):
                obj = await obj
        except (SourceError, asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as exc:
            raise error_of(exc) from exc
        if isinstance(obj, dict) and hasattr(obj.get("stream"), "__iter__"):
            obj = obj["stream"]
        if _is_async(obj):
            return pump_here(obj, read, self._left, ours=self._loop is None)
        if _streams(obj) and not isinstance(obj, (str, bytes, dict)):
            return pump_thread(obj, read, self._left)
        raise SourceRefused(f"the factory returned {type(obj).__name__}: return an iterator or an async iterator")

    def _left(self) -> None:
        self.note = LEFT_RUNNING


def _takes_argument(factory: Callable[..., Any]) -> bool:
    try:
        inspect.signature(factory).bind()
    except TypeError:
        return True  # it needs one
    except ValueError:
        return False  # built in, and does not say
    return any(name == "cursor" for name in inspect.signature(factory).parameters)


def _name(obj: Any) -> str:
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    return f"{named.__module__}.{named.__qualname__}"
