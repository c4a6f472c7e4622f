"""What each of many users may do: his own streams, by his scopes, within his limits."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nbstream.errors import Fenced, LogDamaged, StreamGone
from nbstream.log.rows import stream_id
from nbstream.owner import key_of, owner_of, owns, scope_of
from nbstream.relay import asking
from nbstream.relay.http.access import Access
from nbstream.relay.http.answers import UNKNOWN, Refusal
from nbstream.relay.http.asked import NAME_CHARS
from nbstream.runtime import runtime

if TYPE_CHECKING:
    from starlette.types import Scope

    from nbstream.log.contract import Status, Store
    from nbstream.relay.hub.journal import Journal
    from nbstream.relay.hub.tokens import Tokens
    from nbstream.relay.hub.users import User

#: Owners of streams that are remembered; others are looked up.
KEPT = 10_000
#: When to come again after too many at once: a slot is free when a call ends.
AGAIN_S = 5
#: Names under which a user's kernels can hold one stream at a time.
HOLDERS = 32
_READS = " (reads)"


class SharedAccess(Access):
    """Users by their tokens. For the loop, but for what may block."""

    def __init__(self, tokens: Tokens, store: Store, journal: Journal, *, secure: bool) -> None:
        self._tokens, self._store, self._journal, self.secure = tokens, store, journal, secure
        self._owners: OrderedDict[str, str] = OrderedDict()
        self._starting: Counter[str] = Counter()
        self._starts: defaultdict[str, deque[float]] = defaultdict(deque)
        self._readers: defaultdict[str, dict[Callable[[], None], User]] = defaultdict(dict)
        self._lock = threading.Lock()

    def knows(self, token: str, scope: Scope) -> bool:
        """See `Access.knows`."""
        scope["user"] = self._tokens.user_of(token)
        return scope["user"] is not None

    def lasts(self, user: User | None, scope: Scope) -> bool:
        """See `Access.lasts`."""
        scope["user"] = self._tokens.now(user) if user is not None else None
        return scope["user"] is not None and "read" in scope["user"].scopes

    def prove(self, nonce: str) -> str:  # noqa: ARG002 - there is nothing to prove it by
        """Refuse: TLS proves a relay that is reached over a network."""
        raise Refusal(400, "this relay has many tokens and proves itself by TLS")

    def need(self, scope: Scope, right: str) -> User | None:
        """See `Access.need`."""
        user: User = scope["user"]
        if right not in user.scopes:
            raise Refusal(403, f"this token has no scope {right}: it has {', '.join(sorted(user.scopes))}")
        return user

    def check(self, scope: Scope, stream: str) -> None:
        """See `Access.check`."""
        user: User = scope["user"]
        if self._owner(stream) != user.name:
            raise Refusal(404, UNKNOWN, kind="StreamGone")

    def own(self, scope: Scope) -> Callable[[str], bool] | None:
        """See `Access.own`."""
        user: User = scope["user"]
        return partial(owns, user.name)

    @contextmanager
    def starting(self, scope: Scope, ask: Mapping[str, Any], *, resumes: bool = False) -> Iterator[Mapping[str, Any]]:
        """See `Access.starting`."""
        user: User = scope["user"]
        for name in ("parent", "replaces"):
            other = asking.text(ask, name)
            if other is not None:
                self.check(scope, other)
        # Of a resume the key may be left out: it stays as it is.
        key = {} if resumes and ask.get("key") is None else {"key": key_of(user.name, asking.key_of(ask))}
        mine = {**ask, **key, "scope": scope_of(user.name, asking.text(ask, "scope") or "relay")}
        if asking.text(ask, "holder"):
            mine["holder"] = self.holder(scope, ask["holder"])
        self._reserve(user)
        given = asking.text(ask, "id") if "replaces" in ask and not resumes else None
        try:
            if given:
                _can_be_one(given)
            yield mine
        except Fenced as exc:
            if not given:
                raise
            # In the same words, or it would tell which ids others have.
            raise Refusal(409, "this id cannot be used for a new stream; take another one", kind="Fenced") from exc
        finally:
            with self._lock:
                self._starting[user.name] -= 1

    def began(self, scope: Scope, stream: str) -> None:
        """See `Access.began`."""
        user: User = scope["user"]
        self.note("call", self._store.status(stream), user=user.name)

    @contextmanager
    def reading(self, scope: Scope, hang_up: Callable[[], None]) -> Iterator[None]:
        """See `Access.reading`."""
        user: User = scope["user"]
        mine = self._readers[user.name]
        if len(mine) >= user.readers:
            raise Refusal(429, f"you have {user.readers} readers open: close one", headers=_later(AGAIN_S))
        mine[hang_up] = user
        try:
            yield
        finally:
            del mine[hang_up]
            if not mine and self._readers.get(user.name) is mine:
                del self._readers[user.name]

    def holder(self, scope: Scope, name: str) -> str:
        """See `Access.holder`."""
        if not 0 < len(name) <= NAME_CHARS:
            raise Refusal(400, f"holder: a name of at most {NAME_CHARS} characters")
        return f"{name}{_of(scope['user'])}"

    def holds(self, scope: Scope, name: str, names: Collection[str]) -> None:
        """See `Access.holds`."""
        mine = _of(scope["user"])
        if name not in names and sum(one.endswith(mine) for one in names) >= HOLDERS:
            raise Refusal(429, f"{HOLDERS} holders of yours have this stream: let one go", headers=_later(AGAIN_S))

    def health(self, scope: Scope, found: dict[str, Any]) -> dict[str, Any]:
        """See `Access.health`. How much others use it is for whoever watches the relay."""
        user: User = scope["user"]
        known = {"version": found["version"], "protocol": found["protocol"], "user": user.name}
        return {**found, **known} if "metrics" in user.scopes else known

    def told(self, scope: Scope, answer: dict[str, Any]) -> dict[str, Any]:
        """See `Access.told`. A user knows his holders by the names he gave them."""
        user: User = scope["user"]
        if "holders" not in answer:
            return answer
        mine = f" of {user.name}"
        names = (name.removesuffix(_READS).removesuffix(mine) for name in answer["holders"])
        return {**answer, "holders": sorted(set(names))}

    def hang_up_strangers(self) -> None:
        """End the readers whose token was taken away, or is not for reading any more."""
        for readers in self._readers.values():
            for hang_up, user in readers.items():
                now = self._tokens.now(user)
                if now is None or "read" not in now.scopes:
                    hang_up()

    def note(self, event: str, status: Status, *, user: str | None) -> None:
        """Note what happened to a stream: whose it is, and which hosts are asked for it."""
        source = status.open.source
        urls = [str(one.get("url", "")) for one in (source.get("agents") or {"": source}).values()]
        hosts = sorted({urlsplit(url).hostname or url.partition(":")[0] for url in urls if url})
        self._journal.note(event, user=user, stream=status.stream, upstream=",".join(hosts))

    def has_room(self, user: User) -> bool:
        """Whether the user may have one more live stream here."""
        with self._lock:
            return self._live(user) < user.live

    def _live(self, user: User) -> int:
        return sum(self._owner(stream) == user.name for stream in runtime().recorders) + self._starting[user.name]

    def _reserve(self, user: User) -> None:
        now = time.monotonic()
        with self._lock:
            if self._live(user) >= user.live:
                raise Refusal(
                    429, f"{user.live} streams of yours are live: stop one, or wait until one has ended",
                    headers=_later(AGAIN_S),
                )  # fmt: skip
            starts = self._starts[user.name]
            while starts and starts[0] <= now - 60:
                starts.popleft()
            if len(starts) >= user.starts_a_minute:
                wait_s = int(starts[0] + 60 - now) + 1 if starts else 60
                raise Refusal(
                    429, f"you began {len(starts)} calls in this minute, and may no more: wait {wait_s} s",
                    headers=_later(wait_s),
                )  # fmt: skip
            starts.append(now)
            self._starting[user.name] += 1

    def _owner(self, stream: str) -> str | None:
        """Return whose a stream is; remembered, since it never changes, and a deleted one is still its owner's."""
        known = self._owners.get(stream)
        if known is None:
            try:
                known = owner_of(self._store.status(stream).open.key)
            except (StreamGone, LogDamaged):
                return None
            if known is not None:
                self._owners[stream] = known
                if len(self._owners) > KEPT:
                    self._owners.popitem(last=False)
        return known


def _of(user: User) -> str:
    """Return what follows the names of a user's holders: who may not stop has others, and lets go of those alone."""
    return f" of {user.name}" + ("" if "stop" in user.scopes else _READS)


def _can_be_one(stream: str) -> None:
    try:
        stream_id(stream)
    except ValueError as exc:
        raise Fenced(str(exc)) from exc


def _later(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}
