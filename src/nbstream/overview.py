"""What runs now and what it uses: this kernel, its relay, its pages. For `%stream status`, and for who runs a class."""

from __future__ import annotations

import json
from concurrent.futures import TimeoutError as LateError
from dataclasses import asdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from nbstream import monitor, words
from nbstream.errors import StreamError
from nbstream.log.disk import DiskStore
from nbstream.log.stores import open_store
from nbstream.options import options
from nbstream.owner import without_owner
from nbstream.place import here
from nbstream.relay.process import find
from nbstream.relay.reach import reach_of
from nbstream.runtime import runtime
from nbstream.shutdown import for_good

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.log.contract import Status, Store
    from nbstream.stream import Stream

#: A line of a list stays under 120 characters, and leaves most of what is free to the question.
LINE_CHARS = 118
NAME_CHARS = 16


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
    elif "url" in relay:
        said = relay.get("error") or f"nbstream {relay.get('version')}, user {relay.get('user')}"
        out.append(f"relay   {relay['url']} ({said})")
    elif "error" in relay:
        out.append(f"relay   process {relay['pid']}: {relay['error']}")
    else:
        readers = f"{_count(relay['readers'], 'reader')}, process {relay['pid']}"
        out.append(f"relay   {_process(relay)}, {readers}")
    heap = f", {_mb(page['heap_bytes'])} of scripts" if page.get("heap_bytes") else ""
    out.append(f"page    {_count(page['streams'], 'stream')} shown, {_count(page['views'], 'view')}{heap}")
    return [*out, f"store   {_mb((kernel or {})['log_bytes'])}"]


def listed(stream: Stream) -> str:
    """
    Return one line about a stream: id, state, last written or shown, characters, notebook, model, question.

    Without a question: what the source is. Characters and model are those of the last end, if it has come to one: to
    count them a list would read every log.
    """
    status = stream.store.status(stream.id)
    source, close = status.open.source, status.close
    what = stream.title or source.get("url") or str(source.get("type", "")).rpartition(".")[2]
    names = (_notebook(status), (close.model if close else None) or source.get("model"))
    told = " · ".join([*(str(name)[:NAME_CHARS] for name in names if name), what])
    size = f"{close.chars:,} chars" if close else ""
    line = f"{stream.id:26}  {stream.state:11}  {words.moment(status.touched)}  {size:>13}  "
    return (line + " ".join(words.plain(told).split()))[:LINE_CHARS].rstrip()


def _notebook(status: Status) -> str:
    """Return the name of the notebook a stream was made in; empty when it was none."""
    scope = without_owner(str(json.loads(status.open.key)[0]))
    return "" if scope.startswith("process:") else PurePath(scope).name


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _process(used: dict[str, Any]) -> str:
    words = f"{used['live']} live, {used['upstream']} upstream, {_mb(used['resident_bytes'])}"
    counted = (f"{used[name]} {name.replace('_', ' ')}" for name in ("retries", "stalls", "leaks_closed") if used[name])
    return ", ".join([words, *counted, *filter(None, [used.get("warning")])])


def _mb(size: int) -> str:
    return f"{size / monitor.MB:,.0f} MB" if size >= 10 * monitor.MB else f"{size / monitor.MB:,.1f} MB"


def _relay(store: Store) -> dict[str, Any] | None:
    if options().relay:
        return _remote(store)
    if not isinstance(store, DiskStore):
        return None
    address, reach = find(store.directory), reach_of(store, here().holder, for_good)
    if address is None or reach is None:
        return None
    try:
        return reach.do(reach.client(address).health())
    except (StreamError, LateError) as exc:
        return {"pid": address.pid, "error": str(exc)}


def _remote(store: Store) -> dict[str, Any]:
    """Ask the relay that was named; it says as much of itself as its user may know."""
    said: dict[str, Any] = {"url": options().relay}
    reach = reach_of(store, here().holder, for_good)
    if reach is None:
        return {**said, "error": "not used: this store is in the memory of the kernel"}
    try:
        told = reach.do(reach.ensure().health())
        if "user" not in told:  # anybody may ask it how it is
            raise reach.unknown()
        return {**said, **told}
    except (StreamError, LateError) as exc:
        return {**said, "error": str(exc)}
