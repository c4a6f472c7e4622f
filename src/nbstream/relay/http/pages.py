"""Records as pages of JSON: the way for clients, and through proxies, that cannot do with an answer that stays open."""

from __future__ import annotations

import asyncio
import json
import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.responses import Response

from nbstream.relay.holders import GRACE_S
from nbstream.relay.http.answers import Refusal
from nbstream.relay.http.batches import Batch, ended, read
from nbstream.relay.http.forms import Plain, live_number
from nbstream.relay.http.news import News

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from nbstream.relay.held import Held
    from nbstream.relay.http.access import Access
    from nbstream.relay.http.activity import Activity
    from nbstream.relay.http.desk import Desk, Reading
    from nbstream.relay.http.limits import HTTPLimits
    from nbstream.relay.service import Service


class Page(NamedTuple):
    """What one poll is answered."""

    after: int
    batch: Batch
    state: str
    live: dict[str, Any] | None
    #: Why it begins at the beginning, and not where it was asked to.
    lost: str | None = None

    @property
    def body(self) -> bytes:
        """The JSON; records are put in as they are stored."""
        rest = {"state": self.state, "live": self.live, "complete": self.batch.last}
        if self.lost is not None:
            rest["lost"] = self.lost
        return b'{"after":%d,"upto":%d,"records":[%b],%b' % (
            self.after,
            self.batch.upto,
            b",".join(self.batch.items),
            json.dumps(rest, ensure_ascii=False, separators=(",", ":")).encode()[1:],
        )


class Poll:
    """
    An ASGI answer: the records behind *held*, as soon as there is one, or after *wait_s* seconds.

    Where the last record of *held* is another one by now, it says so and begins at the beginning.

    With *live* (the number of the live status the client knows, 0 for none) another status ends the wait, too.
    """

    def __init__(
        self, service: Service, desk: Desk, activity: Activity, limits: HTTPLimits,
        access: Access, *, stream: str, held: Held,
        wait_s: float, live: int | None, holder: str | None,
    ) -> None:  # fmt: skip
        self._service, self._desk, self._activity, self._limits = service, desk, activity, limits
        self._access = access
        self._stream, self._held, self._wait_s, self._known = stream, held, wait_s, live
        self._holder = holder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        page = await self._desk.ask(self._read)
        if self._holder is None:
            # Until it can have asked again.
            name = f"reader:{secrets.token_hex(4)}"
            self._service.hold(self._stream, name, self._wait_s + GRACE_S, attended=False)
        if self._wait_s and not self._worth(page):
            page = await self._wait(scope, receive)
        await Response(page.body, media_type="application/json")(scope, receive, send)

    def _read(self) -> Reading[Page]:
        log, after, lost = self._service.store.log(self._stream), self._held.after, None
        if not self._held.stands(log):
            after, lost = -1, self._held.lost_of(self._stream)
        try:
            over = ended(log, after)
        except ValueError as exc:
            raise Refusal(400, str(exc)) from exc
        # Before the records: a state at rest is the one behind the last of them.
        about = self._service.describe(self._stream)
        if over:
            return Page(after, Batch([], after, last=True, full=False), "complete", None)
        batch = yield from read(log, after, Plain(), most_bytes=self._limits.page_bytes, most=self._limits.page_records)
        return Page(after, batch, "complete" if batch.last else about["state"], about["live"], lost)

    def _worth(self, page: Page) -> bool:
        """Whether the client is to have *page* now."""
        changed = self._known is not None and live_number(page.live) != self._known
        return bool(page.batch.items) or page.batch.last or changed

    async def _wait(self, scope: Scope, receive: Receive) -> Page:
        loop, news = asyncio.get_running_loop(), News()
        until = loop.time() + self._wait_s
        with (
            self._access.reading(scope, news.hang_up),
            self._activity.reading(self._stream, self._holder, news.hang_up),
        ):
            if self._holder is not None:
                self._service.back(self._holder)
            subscribing = self._desk.ask(partial(self._service.subscribe, self._stream, news.look))
            async with news.of(subscribing, receive):
                page = await self._desk.ask(self._read)  # what came before the subscription
                while not (self._worth(page) or news.over or loop.time() >= until):
                    await news.wait(until)
                    page = await self._desk.ask(self._read)
        return page
