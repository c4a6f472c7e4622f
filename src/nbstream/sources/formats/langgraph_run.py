"""One run of a LangGraph server, which goes on when its connection breaks: where to join it, end it, ask about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.sources.http.call import Call

#: A run by its address, as headers name it.
_RUN = re.compile(r"(?P<path>.*/runs/(?P<id>[A-Za-z0-9_-]{1,100}))(?:/stream)?")
#: Where a run is started: in a thread, or without one.
_START = re.compile(r"(?P<runs>.*/runs)/stream")
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class LangGraphRun:
    """
    A run, as far as the server has said which one it is: *known* is its id, or its path.

    It is joined only at the server that was asked: an address of another origin is not believed.
    """

    def __init__(self, known: str | None = None) -> None:
        self.known = known

    def met(self, headers: Mapping[str, str]) -> None:
        """Learn the run from the headers of an answer."""
        for name in ("content-location", "location"):
            found = _RUN.fullmatch(headers.get(name, ""))
            if found and found["id"] != "stream" and self.known is None:
                self.known = found["path"]

    def told(self, run: object) -> None:
        """Learn its id from the first event, for servers that do not name it in their headers."""
        if isinstance(run, str) and _ID.fullmatch(run) and self.known is None:
            self.known = run

    def joining(self, call: Call) -> Call:
        """Return the call that listens to the run again; starting it anew would be another one."""
        return self._at(call, "/stream", "GET") or call

    def cancelling(self, call: Call) -> Call | None:
        """Return the call that ends the run, None when nobody knows which one it is."""
        return self._at(call, "/cancel?wait=0&action=interrupt", "POST")

    def asking(self, call: Call) -> Call | None:
        """Return the call that asks for its status."""
        return self._at(call, "", "GET")

    def _at(self, call: Call, tail: str, method: str) -> Call | None:
        if self.known is None:
            return None
        start = _START.fullmatch(urlsplit(call.url).path)
        run = self.known.rpartition("/")[2]
        if start is not None and ("/threads/" in start["runs"] or "/" not in self.known):
            where = f"{start['runs']}/{run}"  # the server may stand behind a proxy that adds to its paths
        elif "/" in self.known:
            where = self.known
        else:
            return None
        here, there = urlsplit(call.url), urlsplit(urljoin(call.url, where))
        if (here.scheme, here.netloc.rpartition("@")[2]) != (there.scheme, there.netloc.rpartition("@")[2]):
            return None
        path, _, query = tail.partition("?")
        url = urlunsplit((here.scheme, here.netloc, there.path + path, query, ""))
        return call.beside(method, url)
