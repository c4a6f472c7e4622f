"""One Redis: its address, the scripts run there, and its errors in one line each."""

from __future__ import annotations

import re
import threading
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from nbstream.errors import LogDamaged, LogError, StoreFull
from nbstream.log.redis_scripts import Script
from nbstream.log.rows import closed

#: Every key of ours begins with it, unless the address says `?prefix=`.
PREFIX = "nbstream:"
#: A Redis that says nothing for so long is out of reach. Half of what a beat lives.
SILENT_S = 3.0
CONNECT_S = 2.0


class RedisServer:
    """The Redis at *url*. Safe to use from any thread. No error, no `repr` and no address here shows a password."""

    def __init__(self, url: str) -> None:
        self.address, self.prefix, place = _parts(url)
        self._secret = _password(url)
        self._closed = False
        #: A connection must not be closed while another thread reads from it.
        self._under_way = 0
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        try:
            self._client = redis.Redis.from_url(
                place,
                protocol=2,
                decode_responses=False,
                socket_timeout=SILENT_S,
                socket_connect_timeout=CONNECT_S,
                # The recorder tries again every second, and says so meanwhile.
                retry=Retry(NoBackoff(), 0),
            )
            self._client.connection_pool.make_connection()  # not yet connected: an option that nobody knows is told
        except (ValueError, TypeError):
            raise _no_address(self.address) from None

    def __repr__(self) -> str:
        return f"<RedisServer {self.address}>"

    def check(self) -> None:
        """Raise what stands in the way of saving here: `StoreFull`, or `LogDamaged` where there is no Redis."""
        memory = self._do("INFO", "memory")
        policy = memory.get("maxmemory_policy", "noeviction") if isinstance(memory, dict) else "unknown"
        if policy != "noeviction":
            raise StoreFull(
                f"Redis at {self.address} throws keys away when its memory is full (maxmemory-policy {policy}), and a"
                " log that loses records is no log: `CONFIG SET maxmemory-policy noeviction`, or use another Redis"
            )

    def run(self, script: Script, *args: str | bytes) -> Any:
        """Run a script and return its answer; raises `StoreFull`, or `LogDamaged` for what is not ours."""
        try:
            return self._do("EVALSHA", script.sha, 1, self.prefix, *args)
        except redis.exceptions.NoScriptError:  # a Redis that was restarted forgets them
            self._do("SCRIPT LOAD", script.text)
            return self._do("EVALSHA", script.sha, 1, self.prefix, *args)

    def settings(self, pattern: str) -> dict[str, str]:
        """Return the settings whose names fit *pattern*; none where we may not ask (an ACL, no CONFIG)."""
        try:
            found = self._do("CONFIG GET", pattern)
        except LogError:
            return {}
        return {_text(name): _text(value) for name, value in found.items()} if isinstance(found, dict) else {}

    def forget_beat(self, process: str) -> None:
        """Remove the beat of *process*."""
        self._do("DEL", f"{self.prefix}b:{process}")

    def close(self) -> None:
        """Let what is under way end, then close every connection; further commands raise `RuntimeError`."""
        with self._lock:
            self._closed = True
            self._idle.wait_for(lambda: not self._under_way, SILENT_S + CONNECT_S)
        self._client.close()

    def _do(self, *command: Any) -> Any:
        with self._lock:  # itself: an Interrupt that meets `with` a condition leaves it locked
            if self._closed:
                raise closed()
            self._under_way += 1
        try:
            return self._client.execute_command(*command)  # type: ignore[no-untyped-call]
        except redis.exceptions.NoScriptError:
            raise
        except redis.RedisError as exc:
            # What the client library says, and the frames that it says it in, may hold the address as it was given.
            raise self._refusal(exc) from None
        finally:
            with self._lock:
                self._under_way -= 1
                self._idle.notify_all()

    def _refusal(self, exc: redis.RedisError) -> LogError:
        said = " ".join(str(exc).split())
        for secret in filter(None, (self._secret, self._secret and unquote(self._secret))):
            said = said.replace(secret, "***")
        where = f"Redis at {self.address}"
        if isinstance(exc, redis.exceptions.InvalidResponse):
            return LogDamaged(f"what answers at {self.address} is no Redis ({said[:120]}): check NBSTREAM_STORE")
        if isinstance(exc, redis.AuthenticationError) or re.match(
            "NOAUTH|WRONGPASS|NOPERM|Authentication|no perm", said
        ):
            return StoreFull(
                f"{where} refuses us ({said}): give user and password in its address, redis://user:...@host"
            )
        if isinstance(exc, redis.ConnectionError | redis.TimeoutError):
            return StoreFull(f"{where} cannot be reached ({said}): what waits is kept and saved as soon as it is back")
        if "WRONGTYPE" in said or "equal or smaller" in said:
            return LogDamaged(
                f"{where} holds another program's data under {self.prefix}*, which was not touched ({said}); remove it,"
                " or add ?prefix=NAME: to the address"
            )
        advice = next((text for sign, text in _ADVICE.items() if sign in said), "its log says more")
        return StoreFull(f"{where} does not save ({said.partition(' script: ')[0]}): {advice}")


#: By what the client library leaves of the error.
_ADVICE = {
    "used memory": "`%stream clean`, or give it more (maxmemory)",
    "read only replica": "use the address of its primary",
    "MASTERDOWN": "its primary is away; use the address of the primary",
    "MISCONF": "its disk is full or cannot be written; make room there",
    "NOREPLICAS": "its replicas are away (min-replicas-to-write)",
}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _parts(url: str) -> tuple[str, str, str]:
    """Return the address to show, the prefix of our keys, and the address for the client library."""
    try:
        found = urlsplit(url)
        port = found.port
    except ValueError:
        raise _no_address(re.sub(r"//.*", "//...", url)) from None
    query = dict(parse_qsl(found.query))
    prefix = query.pop("prefix", PREFIX)
    if found.scheme == "unix":
        shown = f"unix://{found.path}" + (f"?db={query['db']}" if "db" in query else "")
    else:
        shown = f"{found.scheme}://{found.hostname or 'localhost'}:{port or 6379}{found.path or '/0'}"
    # Not `geturl`, which makes `unix:/path` of `unix:///path` (Python 3.11).
    place = f"{found.scheme}://{found.netloc}{found.path}" + (f"?{urlencode(query)}" if query else "")
    return shown, prefix, place


def _password(url: str) -> str:
    found = urlsplit(url)
    return found.password or dict(parse_qsl(found.query)).get("password", "")


def _no_address(shown: str) -> ValueError:
    return ValueError(
        f"{shown} is no address of a Redis: redis://[user:password@]host[:port][/db], rediss:// with TLS, or"
        " unix:///path; %-encode what a password has of / ? # @ :"
    )
