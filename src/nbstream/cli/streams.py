"""`nbstream list | show | stop | clean`: saved streams from a terminal. Nothing here makes a call."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

from nbstream import api, overview, words
from nbstream.errors import StoreFull
from nbstream.log.stores import name_of, open_store
from nbstream.options import options
from nbstream.stopping import STOP_S, stop_agent
from nbstream.view.terminal import TerminalView, strip


def show_all() -> int:
    """Print one line a stream; see `overview.listed`."""
    found = api.streams()
    if not found:
        print("no streams are saved", file=sys.stderr)
    for stream in found:
        print(overview.listed(stream))
    return 0


def show(name: str, *, follow: bool) -> int:
    """Print what is saved of a stream and how it stands. Ctrl-C ends the watching, never the stream."""
    stream = api.find(name)
    with suppress(StoreFull):  # it is shown all the same
        stream.store.touch(stream.id)
    if follow or not stream.state.live:
        asyncio.run(TerminalView(dim=sys.stdout.isatty()).run(stream, _write))
    else:
        _write(f"{strip(stream.text)}\n[{strip(words.line(stream.facts(), buttons=False))}; --follow to watch it]\n")
    return 0


def stop(name: str, agent: str | None) -> int:
    """Stop one stream (or one agent of it), or every live one, and say how each stands."""
    if agent is not None:
        stream = api.find(name)
        facts = stop_agent(stream, agent)
        print(f"{stream.id:26}  {facts.state:11}  {words.plain(agent)}")
        return 1 if facts.state.live else 0
    chosen = [one for one in api.streams() if one.state.live] if name == "all" else [api.find(name)]
    if not chosen:
        print("nothing is live")
    for stream in chosen:
        stream.stop()
    for stream in chosen:
        stream.wait(STOP_S)
        print(overview.listed(stream))
    return 0 if all(stream.settled for stream in chosen) else 1


def clean(days: float) -> int:
    """Delete what nobody has shown or written for *days*."""
    gone = api.clean(days)
    where = name_of(open_store(options().store or None))
    print(f"deleted {len(gone)} stream{'' if len(gone) == 1 else 's'} older than {days:g} days from {where}")
    return 0


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
