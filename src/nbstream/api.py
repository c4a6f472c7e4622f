"""The functions of the `nbstream` package: start and show streams, find old ones again."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbstream import shutdown
from nbstream.errors import Fenced, StreamGone
from nbstream.host import Host
from nbstream.log.stores import MEMORY, open_store
from nbstream.monitor import Bounds, watch
from nbstream.options import options, relay_user
from nbstream.place import Front, Place, here
from nbstream.recording import Here, Limits
from nbstream.relay.reach import Reach, reach_of
from nbstream.relay.recording import InRelay, Where
from nbstream.rerun import Ask
from nbstream.runtime import runtime
from nbstream.stream import Stream

if TYPE_CHECKING:
    from nbstream.log.contract import Store
    from nbstream.pictures.wire import Wire

#: Where recorders can be asked to run.
HOSTS = ("auto", "kernel", "relay")


def show(
    source: Any,
    *,
    key: str | None = None,
    fresh: bool = False,
    replay: bool = False,
    save: bool = True,
    host: str | None = None,
    auto_continue: bool | None = None,
    first_s: float | None = None,
    idle_s: float | None = None,
    linger_s: float | None = None,
    cumulative: bool = False,
) -> Stream:
    """
    Stream *source* into this cell and return at once; recording and display go on while the kernel is free.

    Running the cell again attaches, resumes or shows the saved answer, as the table in the README says. Without a page
    (nbclient, papermill, nbval) and in a terminal it waits, because nobody could look later; there any end but complete
    raises.

    Args:
        source: What `nbstream.chat`, `nbstream.sse` return, any iterator or async iterator of text or of what SDKs and
            agents yield, or a factory: a function that makes one. With one parameter it can be resumed: it gets the
            cursor `{"items": 26, "chars": 172}`, what has already come (None at first), and goes on behind that:
            `def f(cursor): for i in range((cursor or {}).get("items", 0), 60): yield ...`
        key: Your own name for the stream, unique in the notebook; else the cell's id and the count of streams in it.
        fresh: Ask anew, whatever is saved.
        replay: Show what is saved, without a call.
        save: False keeps the stream in memory only.
        host: Where the recorder runs: `relay`, a small process that a kernel restart does not touch, `kernel`, or
            `auto` (default): the relay for addresses and models, the kernel for Python objects.
        auto_continue: True lets a new generation go on by itself behind a message that was cut and cannot be resumed,
            at most three times; else the Continue button asks first (default `%config NbStream.auto_continue`).
        first_s: Seconds without any output until the stream is stalled (default 120).
        idle_s: Seconds without new output until it is stalled (default 60).
        linger_s: Seconds the call goes on while no page shows it (default 600); 0 ends it with the last page. What came
            is kept, and Resume goes on behind it.
        cumulative: Every item of the iterator repeats the whole text so far (Gradio's jobs do):
            only what is new of it is shown, and what it says otherwise is taken back.
    """
    place = here()
    keep = options().rerun == "saved"
    ask = Ask(None, fresh=fresh, replay=replay, offers=place.front is Front.PAGE, keep_complete=keep)
    at = host_at(place, save=save, host=host, limits=limits_of(first_s, idle_s, linger_s, auto_continue=auto_continue))
    stream = _launch(source, key, ask, at, place, cumulative=cumulative)
    stream.hold("process")
    return displayed(stream, place)


def start(
    source: Any,
    *,
    key: str | None = None,
    fresh: bool = False,
    save: bool = True,
    host: str | None = None,
    auto_continue: bool | None = None,
    first_s: float | None = None,
    idle_s: float | None = None,
    linger_s: float | None = None,
    cumulative: bool = False,
) -> Stream:
    """
    Record *source* without showing it; the arguments are those of `show`.

    Nobody is there to answer a stall: after a second silence as long as the first the stream is interrupted. (A page
    that shows it counts as somebody.) The call goes on as long as this process lives, and *linger_s* more in a relay.
    """
    ask = Ask(None, fresh=fresh, keep_complete=options().rerun == "saved")
    place = here()
    at = host_at(place, save=save, host=host, limits=limits_of(first_s, idle_s, linger_s, auto_continue=auto_continue))
    stream = _launch(source, key, ask, at, place, cumulative=cumulative)
    stream.hold("process")
    return stream


def resume(stream: str | Stream, agent: str | None = None) -> Stream:
    """
    Go on behind the last record of a stream, given by id, key or object; attaches when somebody already does.

    A source that cannot resume gives the stream as it is saved. *agent*: only that one of a team. Raises `StreamGone`
    for a stream that is not in the store.
    """
    gone_on = (_find(stream) if isinstance(stream, str) else stream).resume(agent)
    gone_on.hold("process")
    return gone_on


def continue_(stream: str | Stream) -> Stream:
    """
    Let a new generation go on behind the text of a stream that was cut, given by id, key or object.

    See `Stream.continue_`. Raises `StreamGone` for a stream that is not in the store.
    """
    gone_on = (_find(stream) if isinstance(stream, str) else stream).continue_()
    gone_on.hold("process")
    return gone_on


def regenerate(stream: str | Stream, agent: str | None = None) -> Stream:
    """
    Ask the same question anew: a new stream whose parent is the old one. The old one is kept.

    *agent*: only that one of a team is asked; the new stream keeps what the others said.
    """
    new = (_find(stream) if isinstance(stream, str) else stream).regenerate(agent)
    new.hold("process")
    return new


def display_stream(stream: Stream, *, saved: bool = False) -> Stream:
    """
    Show a stream that exists already, as `show` would. Never makes a call.

    *saved*: the user asked for what is saved, however it ended: no end raises.
    """
    return displayed(stream, here(), raises=not saved)


def replay(stream: str | Stream, speed: float = 1.0) -> Stream:
    """
    Play a saved stream once more in this cell, *speed* times as fast as it came; no call is made, nothing new is saved.

    Given by id, key or object. Stop ends the replay and leaves the stream as it is. Raises `StreamError` for one that
    is still live, `StreamGone` for one that is not in the store.
    """
    from nbstream.playing import Replay

    played = Replay(_find(stream) if isinstance(stream, str) else stream, speed)
    return display_stream(played, saved=True)


def inspect(stream: str | Stream) -> Wire:
    """
    Return the wire of a stream as its log has it: calls, records, places, what came once more, how long between.

    A table in a notebook, text elsewhere; of a long stream its beginning and its end. Given by id, key or object;
    raises `StreamGone` for one that is not in the store.
    """
    from nbstream.pictures.wire import Wire

    found = _find(stream) if isinstance(stream, str) else stream
    return Wire(found.id, found.log)


def streams() -> list[Stream]:
    """Return every saved stream, newest first."""
    host = host_at(here())
    return [Stream(host, host.store.log(status.stream), from_store=True) for status in host.store.list(key=host.mine)]


def clean(days: float = 30) -> list[str]:
    """Delete the streams that were not shown or written for *days*; live ones stay. Returns their ids."""
    if type(days) not in (int, float) or not days >= 0:
        msg = f"days={days!r}: give a number of days, 30 or 0.5"
        raise ValueError(msg)
    host = host_at(here())
    if relay_user() is None:
        return host.store.sweep(days=days, asked=True)
    # Others' streams are in the same store; those end by age alone.
    old = [one.stream for one in host.store.list(key=host.mine) if one.touched < time.time() - days * 86_400]
    return [stream for stream in old if _deleted(host.store, stream)]


def find(stream: str) -> Stream:
    """Return a saved stream by its id, the beginning of its id, or its key."""
    return _find(stream)


def last_here() -> Stream | None:
    """Return the newest stream of this notebook (of this process where there is none)."""
    host = host_at(here())
    found = host.store.list(key=lambda key: json.loads(key)[0] == host.scope)
    return Stream(host, host.store.log(found[0].stream), from_store=True) if found else None


def displayed(stream: Stream, place: Place, *, raises: bool = True) -> Stream:
    """Show *stream* at *place*; see `show_stream`."""
    from nbstream.view.show import show_stream

    stream.shown_in = place.run
    return show_stream(stream, place, raises=raises)


def _launch(source: Any, key: str | None, ask: Ask, host: Host, place: Place, *, cumulative: bool) -> Stream:
    from nbstream.sources import as_source

    given = as_source(source, cumulative=cumulative)
    ask = replace(ask, fingerprint=given.fingerprint)
    return host.launch(given, place.key(given.fingerprint, key, again=ask.replay), ask)


def limits_of(
    first_s: float | None = None,
    idle_s: float | None = None,
    linger_s: float | None = None,
    *,
    auto_continue: bool | None = None,
) -> Limits:
    """Return the limits of a stream: what is given, else the options."""
    given = options()
    return Limits(
        first_s=given.first_s if first_s is None else first_s,
        idle_s=given.idle_s if idle_s is None else idle_s,
        linger_s=given.linger_s if linger_s is None else linger_s,
        auto_continue=given.auto_continue if auto_continue is None else auto_continue,
    )


def host_at(place: Place, *, save: bool = True, host: str | None = None, limits: Limits | None = None) -> Host:
    """Return the host of the streams of *place*."""
    choice, limits = host or options().host, limits or limits_of()
    if choice not in HOSTS:
        msg = f"host={choice!r}: use {', '.join(HOSTS)}"
        raise ValueError(msg)
    store = open_store((options().store or None) if save else MEMORY)
    if place.kernel is not None:
        shutdown.watch(sys.modules["IPython"].get_ipython().kernel)

    def reach() -> Reach | None:
        return reach_of(store, place.holder, shutdown.for_good)

    watch(runtime(), Bounds(resident_mb=options().memory_mb or None))
    where = Where(
        choice,
        reach,
        here=lambda remark: Here(store, place.scope, limits, remark=remark),
        relay=lambda reach, packed: InRelay(reach, place.scope, limits, packed),
    )
    return Host(store, place.scope, where, reach, auto_continue=limits.auto_continue)


def _deleted(store: Store, stream: str) -> bool:
    try:
        store.delete(stream)
    except Fenced:
        return False  # live
    return True


def _find(stream: str) -> Stream:
    host = host_at(here())
    store = host.store
    exact = store.find(here().key(None, stream))
    if exact is None:
        found = [status.stream for status in store.list(key=host.mine) if status.stream.startswith(stream)]
        if stream not in found and len(found) != 1:
            many = f"{len(found)} streams begin with it, give more of the id"
            msg = f"stream {stream!r}: {many if found else 'not in the store'}; `list` shows them all"
            raise StreamGone(msg)
        exact = stream if stream in found else found[0]
    return Stream(host, store.log(exact), from_store=True)
