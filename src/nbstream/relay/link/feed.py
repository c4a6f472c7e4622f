"""The two ways to read a stream of a relay: as server-sent events, and page by page. Both yield batches."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from nbstream.errors import LogDamaged, RecordsLost, RelayError
from nbstream.wire.sse import SSEParser

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from nbstream.relay.held import Held
    from nbstream.relay.link.line import Line

#: A poll that comes back sooner with nothing new did not wait: whoever answered is not asked again at once.
_LEAST_S: Final = 0.25
#: What an answer may take beyond the time it was asked to wait.
_ANSWER_S: Final = 15.0


class Event(NamedTuple):
    """
    What happened to a stream.

    kind: `record` (data: its JSON, offset: its own), `caught_up` (everything that was there has come), `live` (data:
    the live status, or null), `lost` (the store no longer has the records up to *offset* as they were: what is there
    follows from the beginning; data: `{after, message}`), `gone` (deleted), and, only here, `complete` (nothing can
    come any more). For all but records *offset* is the last one before.
    """

    kind: str
    offset: int
    data: str


class Feed(NamedTuple):
    """Where one stream is read: *query* goes with each request."""

    line: Line
    path: str
    query: Mapping[str, str]

    async def streamed(self, held: Held) -> AsyncGenerator[list[Event], None]:
        """
        Yield what each piece of an event stream brought, an empty list if it was only a sign of life.

        Ends with the answer.
        """
        after = held.after
        async with self.line.listen(self.path, {**self.query, "after": held.text}) as (status, chunks):
            if status != 200:
                yield [Event("complete" if status == 204 else "gone", after, "")]
                return
            parser = SSEParser()
            async for chunk in chunks:
                batch: list[Event] = []
                for event in parser.feed(chunk):
                    if event.event in ("", "message"):
                        after = _offset(event.id)
                        batch.append(Event("record", after, event.data))
                    elif event.event in ("caught_up", "live", "gone"):
                        batch.append(Event(event.event, after, event.data))
                    elif event.event == "lost":
                        batch.append(Event("lost", after, event.data))
                        after = -1
                    elif event.event == "damaged":
                        said = json.loads(event.data)
                        if said["type"] != RecordsLost.__name__:
                            raise LogDamaged(said["message"])
                        yield [*batch, Event("lost", after, _text({"after": after, "message": said["message"]}))]
                        return
                yield batch

    async def pages(self, held: Callable[[], Held], wait_s: float) -> AsyncGenerator[list[Event], None]:
        """
        Yield what each page brought; the next is asked for what comes behind *held()*.

        The relay keeps a question for up to *wait_s* seconds once everything that was there has come.
        """
        known: Any = ()  # nothing was heard of a live status yet
        caught_up = False
        while True:
            place, began = held(), time.monotonic()
            last, wait = place.after, wait_s if caught_up else 0
            query = {**self.query, "after": place.text, "wait": f"{wait:g}", "live": known["n"] if known else 0}
            answer = await self.line.ask("GET", self.path, query=query, answer_s=wait + _ANSWER_S, accept={410})
            if answer.status != 200:
                yield [Event("complete" if answer.status == 204 else "gone", last, "")]
                return
            page, batch = answer.body, []
            if "lost" in page:
                batch.append(Event("lost", last, _text({"after": last, "message": page["lost"]})))
                last, caught_up = -1, False
            batch += [Event("record", last + 1 + n, _text(record)) for n, record in enumerate(page["records"])]
            last += len(page["records"])
            if not batch and not caught_up:
                caught_up = True
                batch.append(Event("caught_up", last, _text({"offset": last})))
            if page["live"] != known:
                known = page["live"]
                batch.append(Event("live", last, _text(known)))
            if page["complete"]:
                batch.append(Event("complete", last, ""))
            yield batch
            if not batch and time.monotonic() - began < _LEAST_S:
                await asyncio.sleep(_LEAST_S)


def _offset(event_id: str) -> int:
    if not (event_id.isascii() and event_id.isdigit()):
        raise RelayError(f"the relay sent a record with the id {event_id!r}, which is no offset")
    return int(event_id)


def _text(value: Any) -> str:
    """Return *value* as records are written."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
