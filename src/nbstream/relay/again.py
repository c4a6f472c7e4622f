"""A stream's source made again from its log, with the keys that come with a request: the relay has none of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceRefused
from nbstream.recorder.plan import agents_of
from nbstream.recorder.progress import Progress
from nbstream.sources import from_spec
from nbstream.sources.portable import endpoints_of, with_keys
from nbstream.sources.team import Team

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nbstream.log.contract import Status, Store
    from nbstream.sources.contract import Source


def source_again(
    store: Store, status: Status, ask: Mapping[str, Any], agent: str | None, *, keyless: bool = False
) -> Source:
    """
    Return the source that the log describes, each of its calls with the key of *ask* that goes by its variable's name.

    *keyless*: without any, for a relay that has keys of its own.

    Raises `SourceRefused` when a call that goes on (those of *agent*, or all) has no key, `ValueError` or `TypeError`
    for keys that cannot be understood.
    """
    source = from_spec(status.open.source)
    meant: Iterable[Source] = [source]
    unfinished = meant
    if isinstance(source, Team):
        progress = Progress.of(store.log(status.stream))
        source = source.of_agents(agents_of(source, progress))  # the spawned too: a key is for whoever is called
        complete = {name for name, track in progress.voices.items() if (track.ended or {}).get("status") == "complete"}
        meant = [one for name, one in source.agents.items() if agent in (None, name)]  # type: ignore[misc]
        unfinished = [one for name, one in source.agents.items() if agent in (None, name) and name not in complete]  # type: ignore[misc]
    if keyless:
        return source
    keys = _keys(ask, _names(meant))
    missing = [name for name in _names(unfinished) if not keys.get(name)]
    if missing:
        send = "api_key" if len(_names(meant)) == 1 else "api_keys, by these names"
        raise SourceRefused(
            f"interrupted: needs {', '.join(missing)}; resume it from a notebook that has it, or send {send}"
        )
    return with_keys(source, keys)


def _names(sources: Iterable[Source]) -> list[str]:
    """Return the variables that hold the keys of *sources*."""
    return list(
        dict.fromkeys(one.call.key_env for source in sources for one in endpoints_of(source) if one.call.key_env)
    )


def _keys(ask: Mapping[str, Any], names: list[str]) -> dict[str, str]:
    """Return what *ask* brings, by name. A key without one goes to the only call that wants one, never to a guess."""
    keys, key = ask.get("api_keys") or {}, ask.get("api_key")
    if not isinstance(keys, dict) or not all(isinstance(one, str) for one in keys.values()):
        raise TypeError("api_keys: an object, a key for each name of a variable")
    if key is None:
        return keys
    if not isinstance(key, str):
        raise TypeError(f"api_key: expected text, found {type(key).__name__}")
    if len(names) > 1:
        raise ValueError(f"api_key: the keys {', '.join(names)} are different ones; send api_keys, by these names")
    return {**dict.fromkeys(names, key), **keys}
