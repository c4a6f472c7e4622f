"""
Conversations: questions that know what was said before.

A turn is a stream. Its `open` names the conversation and the cells before it (by the keys of their streams), so
everything is in the store, and survives the kernel. Its key is that of its cell: running the cell again means what it
means for any other stream, at the same place of the conversation.

| the cell | its turn stands behind |
|---|---|
| has a turn of this conversation already | the cells that this one stood behind, as each answers now |
| has none | the last turn, but for those that stand behind this cell: its own turn was deleted |

So Run All after a restart finds every turn where it was, and calls nobody. An earlier question that is edited is
answered anew at its place; the turns behind it, which were answered to something else, are asked anew when their cells
run.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from nbstream import words
from nbstream.api import displayed, host_at, limits_of
from nbstream.errors import StreamError
from nbstream.options import options
from nbstream.place import Front, here
from nbstream.rerun import Ask
from nbstream.sources.redaction import holds_key, secrets_of_body
from nbstream.state import State
from nbstream.stream import Stream
from nbstream.view.terminal import strip

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nbstream.host import Host
    from nbstream.log.contract import Status

#: What becomes of a turn that did not come to its end, when the next one is asked.
Cut: TypeAlias = Literal["keep", "continue", "leave-out"]

_KIND = "conversation"


class Conversation:
    """
    Questions to one model that know what was said before.

    Args:
        model: As in `nbstream.chat`; None: the one of `%config NbStream.model`.
        system: System message, put in front of every request.
        name: Its name in this notebook, for `%%stream --in NAME`; without one it is that of its cell.
        cut: What becomes of a turn that was stopped or cut, in the requests behind it. `keep` (default): what came of
            it is sent, as it stands on the page. `continue`: one that was cut is resumed or continued first; one that
            was stopped stays stopped, and is kept. `leave-out`: neither its question nor its text is sent. One of which
            nothing came is always left out.
        params: Further arguments of `nbstream.chat`: `base_url`, `temperature` ...
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        system: str | None = None,
        name: str | None = None,
        cut: Cut = "keep",
        **params: Any,
    ) -> None:
        if name is not None and not name.strip():
            raise ValueError("name='': a conversation needs a name, or none for that of its cell")
        #: Its name in this notebook.
        self.name = name or here().name(_KIND)
        self._model, self._system, self._params = model, system, params
        self._cut = _checked(cut)

    def __repr__(self) -> str:
        count = len(self.turns)
        return f"Conversation {self.name!r}: {count} turn{'' if count == 1 else 's'}"

    @property
    def turns(self) -> list[Stream]:
        """Its turns, the oldest first, as they are answered now."""
        host = host_at(here())
        turns = _Turns(host, self.name)
        return [Stream(host, host.store.log(one.stream), from_store=True) for one in turns.all]

    def ask(
        self,
        prompt: str,
        *,
        cut: Cut | None = None,
        key: str | None = None,
        fresh: bool = False,
        replay: bool = False,
        host: str | None = None,
        auto_continue: bool | None = None,
        first_s: float | None = None,
        idle_s: float | None = None,
        linger_s: float | None = None,
    ) -> Stream:
        """
        Ask *prompt* behind what was said before, and show the answer in this cell; returns at once.

        It waits for the turn before, if that is not at rest yet (Interrupt stops that one). Running the cell again does
        what it does for `nbstream.show`, whose other arguments these are. Raises `StreamError` where the turn before
        cannot be sent.
        """
        from nbstream import chat

        place = here()
        limits = limits_of(first_s, idle_s, linger_s, auto_continue=auto_continue)
        at = host_at(place, host=host, limits=limits)
        if type(prompt) is not str or not prompt.strip():
            raise ValueError("the prompt is empty: ask(...) takes the text of one question")
        # Without a cell the n-th question of this program in this conversation stands for it.
        full = place.key(f"{_KIND} {self.name}", key, again=replay)
        turns = _Turns(at, self.name)
        behind = turns.behind(full)
        before = turns.answers(behind)
        messages = [*self._said(at, before, self._cut if cut is None else _checked(cut))]
        given = {"model": self._model or options().model, "system": self._system or options().system or None}
        if options().base_url and "base_url" not in self._params:
            given["base_url"] = options().base_url
        source = chat([*messages, {"role": "user", "content": prompt}], **{**given, **self._params})
        turn = {"conversation": self.name, "behind": behind, "before": before[-1].stream if before else None}
        if not holds_key(prompt) and not secrets_of_body(prompt):  # which no log keeps
            turn["prompt"] = prompt
        asks = Ask(
            source.fingerprint, fresh=fresh, replay=replay, offers=place.front is Front.PAGE,
            keep_complete=options().rerun == "saved",
        )  # fmt: skip
        stream = at.launch(source, full, asks, turn)
        stream.hold("process")
        return displayed(stream, place)

    def history(self) -> str:
        """Return all of it as text: questions, answers, and how each turn ended that was stopped or cut."""
        said = []
        for number, stream in enumerate(self.turns, 1):
            turn, state = stream.store.status(stream.id).open.turn or {}, stream.state
            prompt = turn.get("prompt", "(not stored: it holds a key)")
            ended = "" if state is State.COMPLETE else f" ({words.line(stream.facts(), buttons=False)})"
            said += [
                f"── {number}: you ──",
                strip(prompt),
                f"── {number}: {stream.model or 'answer'}{ended} ──",
                strip(stream.text),
            ]
        return "\n".join(said)

    def _said(self, host: Host, turns: list[Status], cut: Cut) -> Iterator[dict[str, str]]:
        """Yield what the request says of *turns*, each of which is at rest then."""
        for number, status in enumerate(turns, 1):
            stream = Stream(host, host.store.log(status.stream))
            state = stream.wait() if stream.state.live else stream.state
            if cut == "continue" and state in (State.INTERRUPTED, State.FAILED) and stream.text:
                state = _gone_on(stream, number)
            if not stream.text or (cut == "leave-out" and state is not State.COMPLETE):
                continue
            prompt = (status.open.turn or {}).get("prompt")
            if prompt is None:
                raise StreamError(
                    f"turn {number} of {self.name} (stream {stream.id}) holds a key in its question, which is never"
                    f" stored: run its cell with another question"
                )
            yield {"role": "user", "content": prompt}
            yield {"role": "assistant", "content": stream.text}


def conversations() -> dict[str, int]:
    """Return the names of this notebook's conversations, the newest first, and how many turns each has."""
    host = host_at(here())
    names = dict.fromkeys(str(one.open.turn.get("conversation")) for one in _in_scope(host) if one.open.turn)
    return {name: len(_Turns(host, name).all) for name in names}


class _Turns:
    """The turns of the conversation *name* in this notebook, as their cells answer them now."""

    def __init__(self, host: Host, name: str) -> None:
        self._store, self._name = host.store, name
        #: By the key of the cell, the newest first.
        self._now = {
            one.open.key: one
            for one in _in_scope(host)
            if self._is_turn(one) and self._store.find(one.open.key) == one.stream
        }

    @property
    def all(self) -> list[Status]:
        """Return them, the oldest first."""
        return self.answers(self._to_the_last(self._now))

    def behind(self, key: str) -> list[str]:
        """Return the cells that the turn of the cell under *key* stands behind."""
        own = self._now.get(key)
        if own is not None:
            return _path(own)
        return self._to_the_last([other for other in self._now if key not in _path(self._now[other])])

    def answers(self, path: list[str]) -> list[Status]:
        """Return the turns that the cells on *path* have now."""
        return [self._now[key] for key in path if key in self._now]

    def _to_the_last(self, keys: Iterable[str]) -> list[str]:
        """
        Return the path up to the newest of *keys* that none of them stands behind, and itself.

        Of two kernels that ask at once, each may make one.
        """
        followed = {before for key in keys for before in _path(self._now[key])}
        last = next((key for key in keys if key not in followed), None)
        return [] if last is None else [*_path(self._now[last]), last]

    def _is_turn(self, status: Status) -> bool:
        return (status.open.turn or {}).get("conversation") == self._name


def _path(turn: Status) -> list[str]:
    return [*(turn.open.turn or {}).get("behind", ())]


def _in_scope(host: Host) -> list[Status]:
    return host.store.list(key=lambda key: json.loads(key)[0] == host.scope)


def _gone_on(stream: Stream, number: int) -> State:
    """Let a turn that was cut go on to its end; returns how it stands then."""
    try:
        (stream.resume() if stream.resumable else stream.continue_()).hold("process")
    except StreamError as exc:
        raise StreamError(
            f"turn {number} (stream {stream.id}) was cut and cannot go on: {exc}; cut='keep' sends what came of it,"
            f" cut='leave-out' does not"
        ) from exc
    return stream.wait()


def _checked(cut: str) -> Cut:
    if cut not in get_args(Cut):
        raise ValueError(f"cut={cut!r}: use {', '.join(map(repr, get_args(Cut)))}")
    return cut  # type: ignore[return-value]
