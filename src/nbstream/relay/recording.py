"""Recorders in a relay: the same questions, asked over HTTP."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nbstream.errors import RelayError, StreamError, StreamGone
from nbstream.recording import new_id
from nbstream.sources.portable import pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from nbstream.recording import Birth, Limits, Recording
    from nbstream.relay.reach import Reach
    from nbstream.sources.contract import Source

#: How long a relay elsewhere that could not be reached may take to be reached again.
AGAIN_S = 1.5
#: What the state line says of a stream that could have been in a relay and is not.
FALLBACK = "a kernel restart will interrupt this"


class InRelay:
    """A `Recording` in the relay of our version, which is started if need be and again if it died."""

    def __init__(self, reach: Reach, scope: str, limits: Limits, source: dict[str, Any]) -> None:
        self._reach, self._scope, self._limits, self._packed = reach, scope, limits, source

    def begin(self, source: Source, birth: Birth) -> str | None:  # noqa: ARG002 - it is packed already
        """See `Recording.begin`."""
        stream = new_id()  # ours: an answer that is lost must not become a second call
        started, answer = self._ask(
            lambda client: client.start({
                **self._common, "key": birth.key, "parent": birth.parent,
                "replaces": birth.replaces, "id": stream, "agent": birth.agent, "turn": birth.turn,
            })
        )  # fmt: skip
        if started and self._reach.far:
            self._seen(answer["id"])
        return answer["id"] if started else None

    def resume(
        self,
        source: Source,  # noqa: ARG002
        stream: str,
        key: str,
        agent: str | None = None,
        *,
        anew: bool = False,
    ) -> bool:
        """See `Recording.resume`."""
        body = {**self._common, "key": key, "agent": agent}
        answer = self._ask(lambda client: client.resume(stream, body, anew=anew))
        return bool(answer["resumed"])

    def _seen(self, stream: str) -> None:
        """Stop a call that was begun in another store: another relay has the address by now, or stands behind it."""
        try:
            self._reach.store.status(stream)
        except StreamGone:
            with suppress(StreamError):
                self._ask(lambda client: client.stop(stream))
            raise self._reach.apart("its call was stopped") from None

    @property
    def _common(self) -> dict[str, Any]:
        limits = self._limits
        return {
            "source": self._packed, "scope": self._scope, "holder": self._reach.holder,
            "limits": {"first_s": limits.first_s, "idle_s": limits.idle_s, "linger_s": limits.linger_s},
            "auto_continue": limits.auto_continue,
        }  # fmt: skip

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        """Ask the relay; one that has died meanwhile is asked again, once: the key decides whether it had begun."""
        try:
            return self._reach.do(question(self._reach.ensure()))
        except RelayError as exc:
            if exc.status not in (None, 503):  # 503: it is just ending
                raise
            if self._reach.far:
                time.sleep(AGAIN_S)  # not ours to start: another one has its address in a moment
            return self._reach.do(question(self._reach.ensure()))


class Where:
    """
    Says where a source is recorded: `relay` and `kernel` as they say, `auto` in the relay if that is possible.

    Python objects live in this process, and so does their recorder.
    """

    def __init__(
        self,
        choice: str,
        reach: Callable[[], Reach | None],
        *,
        here: Callable[[str | None], Recording],
        relay: Callable[[Reach, dict[str, Any]], Recording],
    ) -> None:
        self._choice, self._reach, self._here, self._relay = choice, reach, here, relay

    def __call__(self, source: Source) -> Recording:
        """Return where *source* is recorded; raises one clear line if it was to be the relay and cannot."""
        reach, packed = self._reach(), None
        if self._choice == "kernel":
            return self._here(None)
        if reach is not None:
            packed = pack(source, keyless=reach.far)
        if reach is None or packed is None:
            if self._choice == "relay":
                if reach is None:
                    raise RelayError(
                        "host='relay': no relay of this machine records in this store (memory: or redis:); name one"
                        " that serves it in NBSTREAM_RELAY, or say host='kernel'"
                    )
                what = "lives in this process"
                if reach.far and pack(source) is not None:
                    what = "holds a secret, which no relay elsewhere is sent"
                raise RelayError(f"host='relay': this source {what}; leave host away, or say host='kernel'")
            return self._here(None)
        if reach.far:
            reach.share()  # what it raises is told: keys are there, here the call would only fail for another reason
            return self._relay(reach, packed)
        try:
            reach.ensure()
        except RelayError as exc:
            if self._choice == "relay":
                raise
            return self._here(f"{FALLBACK} ({exc})")
        relay = self._relay(reach, packed)
        return _OrHere(relay, self._here) if self._choice == "auto" else relay


class _OrHere:
    """In the relay, or here if it does not answer. The key says whether a call had begun there: then that is found."""

    def __init__(self, relay: Recording, here: Callable[[str | None], Recording]) -> None:
        self._relay, self._here = relay, here

    def begin(self, source: Source, birth: Birth) -> str | None:
        """See `Recording.begin`."""
        try:
            return self._relay.begin(source, birth)
        except RelayError as exc:
            if exc.status is not None:
                raise
            return self._here(f"{FALLBACK} ({exc})").begin(source, birth)

    def resume(self, source: Source, stream: str, key: str, agent: str | None = None, *, anew: bool = False) -> bool:
        """See `Recording.resume`."""
        try:
            return self._relay.resume(source, stream, key, agent, anew=anew)
        except RelayError as exc:
            if exc.status is not None:
                raise
            return self._here(f"{FALLBACK} ({exc})").resume(source, stream, key, agent, anew=anew)
