"""What runs now and what it uses: this kernel, its relay, its pages. For `%stream status`, and for who runs a class."""

from __future__ import annotations

import time
from concurrent.futures import TimeoutError as LateError
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nbstream import monitor, words
from nbstream.errors import StreamError
from nbstream.log.disk import DiskStore
from nbstream.log.stores import open_store
from nbstream.options import options
from nbstream.place import here
from nbstream.relay.process import find
from nbstream.relay.reach import reach_of
from nbstream.runtime import runtime
from nbstream.shutdown import for_good

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.log.contract import Store
    from nbstream.stream import Stream

#: Of a question in a list: the line stays under 120 characters.
TITLE_CHARS = 60
#: Whoever records a stream looks for a stop every 250 ms; who does not answer in this time does not answer.
STOP_S = 5.0
LOOK_S = 0.05


def usage() -> dict[str, dict[str, Any] | None]:
    """
    Return what kernel, relay and pages use, as `{"kernel": {...}, "relay": {...} or None, "page": {...}}`.

    Bytes are bytes, totals count since the process began. No relay is started for it.
    """
    store = open_store(options().store or None)
    kernel = asdict(monitor.usage(runtime(), store))
    kernel["warning"] = runtime().warning
    return {"kernel": kernel, "relay": _relay(store), "page": runtime().pages()}


def on_excess(callback: Callable[[monitor.Usage], object]) -> Callable[[], None]:
    """
    Call *callback* with the usage whenever this process crosses one of its bounds; returns the end of that.

    Bounds: 64 live streams, 64 upstream connections, and `%config NbStream.memory_mb` (0: none). It is called on
    nbstream's own thread and must not block. The same warning stands in the state line of every live stream.
    """
    bounds = monitor.Bounds(resident_mb=options().memory_mb or None)
    return monitor.watch(runtime(), bounds).on_excess(callback)


def lines() -> list[str]:
    """Return `usage` in words, one line a part."""
    found = usage()
    kernel, relay, page = found["kernel"], found["relay"], found["page"] or {}
    out = [f"kernel  {_process(kernel or {})}"]
    if relay is None:
        out.append("relay   none runs")
    elif "error" in relay:
        out.append(f"relay   process {relay['pid']}: {relay['error']}")
    else:
        readers = f"{relay['readers']} readers, process {relay['pid']}"
        out.append(f"relay   {_process(relay)}, {readers}")
    heap = f", {_mb(page['heap_bytes'])} of scripts" if page.get("heap_bytes") else ""
    out.append(f"page    {page['streams']} streams shown, {page['views']} views{heap}")
    return [*out, f"store   {_mb((kernel or {})['log_bytes'])}"]


def listed(stream: Stream) -> str:
    """
    Return one line about a stream: id, state, last written or shown, question.

    Without a question: what the source is. Not the state line: it counts characters, so a list would read every log.
    """
    status = stream.store.status(stream.id)
    source = status.open.source
    what = stream.title or source.get("url") or str(source.get("type", "")).rpartition(".")[2]
    title = " ".join(words.plain(what).split())[:TITLE_CHARS]
    return f"{stream.id:26}  {stream.state:11}  {words.moment(status.touched)}  {title}".rstrip()


def listed_agent(agent: str, facts: words.Facts) -> str:
    """Return one line about an agent of a team: its name and how it stands."""
    return words.plain(f"{agent}: {words.line(facts, buttons=False)}")


def stop_agent(stream: Stream, agent: str) -> words.Facts:
    """
    Stop one agent of a team; return how it stands once whoever records it has heard of that, or 5 s later.

    Raises `ValueError` for an agent that it has not: nobody else is stopped in its place.
    """
    agents = stream.agent_facts()
    if agent not in agents:
        named = f"its agents are {', '.join(agents)}" if agents else "it has one voice"
        raise ValueError(f"stream {stream.id} has no agent {agent!r}: {named}")
    stream.stop(agent)
    until = time.monotonic() + STOP_S
    while (facts := stream.agent_facts()[agent]).state.live and time.monotonic() < until:
        time.sleep(LOOK_S)
    return facts


def _process(used: dict[str, Any]) -> str:
    words = f"{used['live']} live, {used['upstream']} upstream, {_mb(used['resident_bytes'])}"
    counted = (f"{used[name]} {name.replace('_', ' ')}" for name in ("retries", "stalls", "leaks_closed") if used[name])
    return ", ".join([words, *counted, *filter(None, [used.get("warning")])])


def _mb(size: int) -> str:
    return f"{size / monitor.MB:,.0f} MB" if size >= 10 * monitor.MB else f"{size / monitor.MB:,.1f} MB"


def _relay(store: Store) -> dict[str, Any] | None:
    if not isinstance(store, DiskStore):
        return None
    address, reach = find(store.directory), reach_of(store, here().holder, for_good)
    if address is None or reach is None:
        return None
    try:
        return reach.do(reach.client(address).health())
    except (StreamError, LateError) as exc:
        return {"pid": address.pid, "error": str(exc)}
