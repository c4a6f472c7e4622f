"""A call that the server keeps under an id, beside the address that started it: to be read again, or ended."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

if TYPE_CHECKING:
    from nbstream.sources.http.call import Call

#: What may stand in a path as it is, and cannot lead out of it.
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:=-]{0,511}")


class StoredRun:
    """
    OpenAI's background responses, Gemini's background interactions.

    Started with `POST .../responses`, it is read again with `GET .../responses/{id}?stream=true&{behind}={place}` and
    ended with `POST .../responses/{id}/cancel`. *behind* is the provider's name for the place of the last event.
    """

    def __init__(self, behind: str, known: object = None, place: int | str | None = None) -> None:
        self._behind = behind
        self.known: str | None = None
        self.place = place
        self.told(known)

    def told(self, known: object) -> None:
        """Learn the id; only the first one counts, and only if it can stand in an address."""
        if self.known is None and isinstance(known, str) and _ID.fullmatch(known):
            self.known = known

    def joining(self, call: Call) -> Call:
        """Return the call that reads on behind the last event; starting it anew would be another run."""
        place = {} if self.place is None else {self._behind: str(self.place)}
        return self._at(call, "GET", "", {"stream": "true", **place}) or call

    def cancelling(self, call: Call) -> Call | None:
        """Return the call that ends it, None when nobody knows which one it is."""
        return self._at(call, "POST", "/cancel", {})

    def asking(self, call: Call) -> Call | None:  # noqa: ARG002 - as all of them
        """Return None: a run that says it is complete does not say what of its text has not come."""
        return None

    def _at(self, call: Call, method: str, tail: str, query: dict[str, str]) -> Call | None:
        if self.known is None:
            return None
        parts = urlsplit(call.url)
        # What else the address carries (a version, a key) belongs to these calls, too.
        kept = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] not in query]
        path = f"{parts.path.rstrip('/')}/{self.known}{tail}"
        asked = "&".join([*kept, urlencode(query)] if query else kept)
        return call.beside(method, urlunsplit(parts._replace(path=path, query=asked)))
