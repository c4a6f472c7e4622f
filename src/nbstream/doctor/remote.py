"""The relay that was named: whether it answers, who this is there, and whether our streams are in its store."""

from __future__ import annotations

from concurrent.futures import TimeoutError as LateError
from typing import TYPE_CHECKING

from nbstream.doctor.check import Check
from nbstream.errors import RelayError, StreamError, StreamGone
from nbstream.place import here
from nbstream.relay.probe import probe
from nbstream.relay.reach import reach_of
from nbstream.shutdown import for_good

if TYPE_CHECKING:
    from nbstream.log.contract import Store
    from nbstream.relay.reach import Reach

#: What a token that does all a notebook can do may do.
NEEDED = ("read", "start", "stop")


def relay(store: Store) -> Check:
    """Ask the relay; a token that may not do all that a notebook can ask for is a problem."""
    reach = reach_of(store, here().holder, for_good)
    if reach is None:
        return Check("relay", "not used", "this store is in the memory of the kernel; set NBSTREAM_STORE")
    url = "NBSTREAM_RELAY"  # what is no address may hold a password
    try:
        url = reach.ensure().address.url
        told = reach.do(reach.ensure().health())
        if "user" not in told:  # anybody may ask it how it is
            raise reach.unknown()
        missing = _missing(reach, store)
    except (StreamError, LateError) as exc:
        return Check("relay", "cannot be used", str(exc) if url in str(exc) else f"{url}: {exc}")
    found = f"{url} (nbstream {told.get('version')}, user {told['user']})"
    if missing:
        may_not = f"this token may not {', '.join(missing)}"
        return Check("relay", found, f"{may_not}: ask for one with the scopes {', '.join(NEEDED)}")
    return Check("relay", found)


def _missing(reach: Reach, store: Store) -> list[str]:
    """Return what the token may not do, by trying with a stream that makes no call."""
    client, missing = reach.ensure(), []
    with probe(store) as stream:
        for right, ask in zip(NEEDED, (client.describe, client.keep, client.stop), strict=True):
            try:
                reach.do(ask(stream))
            except RelayError as exc:
                if exc.status != 403:
                    raise
                missing.append(right)
            except StreamGone:
                raise reach.apart("no call is made") from None
    return missing
