"""How this process reaches the relays of one store: starts one, finds the one that records a stream, follows it."""

from __future__ import annotations

import asyncio
import platform
import threading
from concurrent.futures import TimeoutError as LateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from nbstream.errors import LogError, RelayError, StreamError, StreamGone
from nbstream.log.memory import MemoryStore
from nbstream.log.stores import name_of
from nbstream.options import options, token_variable
from nbstream.recording import boot_id
from nbstream.relay.following import Following, press
from nbstream.relay.probe import probe
from nbstream.relay.remote import remote
from nbstream.runtime import runtime
from nbstream.standing import in_relay

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from nbstream.log.contract import Status, Store
    from nbstream.relay.address import Address
    from nbstream.relay.link.client import RelayClient

T = TypeVar("T")

#: A relay that does not answer in this time has hung.
ANSWER_S = 15.0
#: How long the end of this process waits for a relay to hear of it.
FAREWELL_S = 1.0
#: Whose streams they are; others only read, or have just asked.
OWNERS = ("kernel:", "process:")


def _nothing() -> None:
    """End nothing."""


_reaches: dict[Path | Store, Reach] = {}
_reaches_lock = threading.Lock()


def reach_of(store: Store, holder: str, leaving: Callable[[], bool]) -> Reach | None:
    """Return how the relays of *store* are reached; None for one that no other process can open."""
    from nbstream.log.disk import DiskStore

    # One of our own shares a directory with us, one elsewhere any store that it can open, too.
    if isinstance(store, MemoryStore) or not (isinstance(store, DiskStore) or options().relay):
        return None
    place = store.directory if isinstance(store, DiskStore) else store
    with _reaches_lock:
        reach = _reaches.get(place)
        if reach is None or reach.stale or reach.store is not store:
            reach = _reaches[place] = Reach(store, holder, leaving)
        return reach


class Reach:
    """
    The relays of *store*. Safe to use from any thread; nothing of it is to be called on the runtime's loop.

    *holder* names this process in the relay, the same before and after a restart of the kernel; *leaving* says at the
    end of the process whether its kernel was shut down for good.
    """

    def __init__(self, store: Store, holder: str, leaving: Callable[[], bool]) -> None:
        self.store, self.holder = store, holder
        self._leaving = leaving
        self._clients: dict[Address, RelayClient] = {}
        self._followings: dict[str, Following] = {}
        #: Relays that were named and have shown that our store is theirs.
        self._sharing: set[Address] = set()
        self._lock = threading.Lock()
        self._runtime = runtime()
        self._runtime.farewell(self._farewell)

    @property
    def far(self) -> bool:
        """Whether the relay is one that was named, on another machine or as good as: it gets no keys of ours."""
        return bool(options().relay)

    @property
    def stale(self) -> bool:
        """Whether the loop it worked on has ended: `%unload_ext`, or a fork."""
        return runtime() is not self._runtime

    def ensure(self) -> RelayClient:
        """Return the relay that was named, or that of our version, started if need be; raises `RelayError`."""
        address = remote()
        if address is not None:
            return self.client(address)
        from nbstream.relay.process import ensure

        return self.client(self.do(ensure(self._directory)))

    def share(self) -> None:
        """Raise `RelayError` if the relay that was named keeps its streams in another store than ours; asked once."""
        client = self.ensure()
        if client.address in self._sharing:
            return
        with probe(self.store) as stream:
            try:
                self.do(client.describe(stream))
            except StreamGone:
                raise self.apart("no call was made") from None
            except StreamError:
                return  # whoever is about to call is told what is wrong
        self._sharing.add(client.address)

    def apart(self, outcome: str) -> RelayError:
        """Return the error of a relay whose streams we cannot read; *outcome*: what became of the call."""
        self._sharing.clear()
        return RelayError(
            f"the relay at {options().relay} keeps its streams in another store than this process"
            f" ({name_of(self.store)}), so {outcome}: set NBSTREAM_STORE to the relay's store, and restart the kernel"
        )

    def unknown(self) -> RelayError:
        """Return the error of a relay that does not know our token."""
        return RelayError(
            f"the relay at {options().relay}: this token is not known here; set {token_variable()} to one that its"
            " administrator has made for you",
            status=401,
        )

    def client(self, address: Address) -> RelayClient:
        """Return the client of the relay at *address*."""
        from nbstream.relay.link.client import RelayClient

        with self._lock:
            client = self._clients.get(address)
            if client is None:
                for dead in [known for known in self._clients if not known.alive]:
                    self._runtime.spawn(self._clients.pop(dead).close())
                client = self._clients[address] = RelayClient(address)
            return client

    def recorder_of(self, status: Status) -> RelayClient | None:
        """Return the relay that records a stream, None where there is none within reach."""
        if not in_relay(status):
            return None
        from nbstream.relay.process import holding

        directory, address = self._directory, None
        if directory is not None and (status.open.host, status.open.boot) == (platform.node(), boot_id()):
            address = holding(directory, int(status.open.writer.removeprefix("relay ")))
        if address is None:
            with suppress(RelayError):  # it is told when a call is to be made
                address = remote()  # any relay of the store knows of the stream, whichever records it
        return self.client(address) if address is not None else None

    def recorded(self, status: Status) -> bool:
        """See `host.Reach`."""
        return in_relay(status)

    def held_elsewhere(self, status: Status) -> bool:
        """See `host.Reach`. A relay that does not answer keeps its streams: nothing is stopped on a guess."""
        client = self.recorder_of(status)
        if client is None:
            return True
        try:
            holders = self._do(client.describe(status.stream))["holders"]
        except (StreamError, LateError):
            return True
        return any(holder != self.holder and holder.startswith(OWNERS) for holder in holders)

    def press(self, status: Status, button: str, agent: str | None = None) -> None:
        """See `host.Reach`. The row in the store says stop too, so a relay out of reach is no error."""
        client = self.recorder_of(status)
        if client is not None:
            with suppress(RelayError, LogError, LateError):
                self._do(press(client, status.stream, button, agent))

    def follow(self, stream: str) -> Callable[[], None]:
        """See `host.Reach`."""
        if runtime().recorder(stream) is not None:
            return _nothing  # it is here
        with self._lock:
            following = self._followings.get(stream)
            if following is None or following.closed:
                following = self._followings[stream] = Following(self, stream)
            following.readers += 1

        def end() -> None:
            with self._lock:
                following.readers -= 1
            self._runtime.call(following.moved.set)

        return end

    def wants(self, following: Following) -> bool:
        """Ask whether *following* goes on; one that does not is closed before anybody else can want it."""
        with self._lock:
            following.closed = not following.wanted
            return not following.closed

    def is_read(self, following: Following) -> bool:
        """Ask whether *following* has readers; one without is closed before anybody else can read by it."""
        with self._lock:
            following.closed = not following.readers
            return not following.closed

    def forget(self, following: Following) -> None:
        """Forget one that has ended."""
        with self._lock:
            following.closed = True
            if self._followings.get(following.stream) is following:
                del self._followings[following.stream]

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do *work* on the loop and wait for it; raises `RelayError` when it takes too long or refuses us."""
        try:
            return self._do(work)
        except RelayError as exc:
            if exc.status == 401 and self.far:
                raise self.unknown() from exc
            raise
        except LateError:
            what = f"see {options().relay}/healthz" if self.far else "`nbstream relay --stop` ends it"
            raise RelayError(f"the relay has not answered for {ANSWER_S:.0f} s: {what}") from None

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        if self.stale:
            work.close()
            raise RelayError("nbstream was unloaded here: %load_ext nbstream")
        future = self._runtime.submit(work)
        try:
            return future.result(ANSWER_S)
        except LateError:
            future.cancel()
            raise

    @property
    def _directory(self) -> Path | None:
        return getattr(self.store, "directory", None)

    async def _farewell(self) -> None:
        followings = list(self._followings.values())
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(
                asyncio.gather(*(one.leave(end=self._leaving()) for one in followings), return_exceptions=True),
                FAREWELL_S,
            )
        for client in self._clients.values():
            await client.close()
