"""What an iterator yields, in our words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceMalformed
from nbstream.records import Part
from nbstream.sources.contract import Arrival, End
from nbstream.sources.formats.native import Native
from nbstream.sources.objects.agent_items import AgentItems
from nbstream.sources.objects.chunks import text_alone
from nbstream.sources.objects.messages import Messages
from nbstream.sources.objects.shapes import CHAT, plain, see
from nbstream.sources.refusal import read_error, refused_by_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.sources.objects.shapes import Seen

_BARE = (str, Part, bytes, bytearray, memoryview)
_NATIVE = frozenset({"delta", "agent_output", "done"})
QUOTE_CHARS = 80


class ItemReader:
    """
    Reads str, `Part`, native frames as dicts, and what SDKs (`shapes.py`) and agents (`agent_items.py`) yield.

    The iterator's own end is the end mark, except behind what has one itself: SDKs report a cut connection as a normal
    end. An iterator of nothing that we know is no empty answer: its end is an error.
    """

    def __init__(self) -> None:
        self._messages: dict[str, Messages] = {}
        self._native = Native()
        self._agents = AgentItems()
        #: The last chunk of a chat that was read in full.
        self._chunk: Any = None
        self._end: Arrival | None = None
        self._unknown: str | None = None
        self._understood = False

    def read(self, item: Any) -> Arrival:
        """Return what *item* says."""
        arrival = self._read(item)
        if not self._understood:
            if arrival.parts and arrival.parts[0].kind == "raw":
                self._unknown = self._unknown or type(item).__name__
            else:
                self._understood = item != ""
        return arrival

    def _read(self, item: Any) -> Arrival:
        if isinstance(item, _BARE):
            return _bare(item)
        if self._chunk is not None and (text := text_alone(item, self._chunk)) is not None:
            return Arrival((Part("text", text),))
        try:
            seen = see(item)
            if seen is not None:
                self._chunk = item if seen.format == CHAT else None
                return self._frame(seen)
            said = self._agents.read(item)
            return self._other(item) if said is None else said
        except (AttributeError, TypeError, LookupError, ValueError, RecursionError) as exc:
            quoted = str(item)[:QUOTE_CHARS]
            raise SourceMalformed(f"the iterator yields an item that is no chunk: {quoted!r}") from exc

    def eof(self) -> Arrival:
        """Return the end; raises `SourceLost` where an end mark is missing, `SourceMalformed` if nothing known came."""
        ends = [messages.eof() for messages in self._messages.values()]
        end = self._end or (ends[-1] if ends else self._agents.eof())
        if end is not None:
            return end
        if self._unknown and not self._understood:
            raise SourceMalformed(
                f"nothing to show: the iterator yields {self._unknown}; let it yield str (say, `x.text for x in it`)"
            )
        return Arrival(end=End())

    def _frame(self, seen: Seen) -> Arrival:
        messages = self._messages.get(seen.format)
        if seen.frame is None:
            # Helpers yield what they make of a frame behind the frame: alone it counts, else it would be there twice.
            return Arrival((seen.part,) if seen.part is not None and messages is None else ())
        if messages is None:
            messages = self._messages[seen.format] = Messages(seen.format)
        return messages.read(seen.frame)

    def _other(self, item: Any) -> Arrival:
        if isinstance(item, dict) and isinstance(item.get("type"), str) and item["type"] in _NATIVE:
            return self._of_ours(item)
        if isinstance(item, dict) or getattr(item, "type", None) == "error":
            error = read_error(plain(item))
            if error is not None:
                raise refused_by_frame(error)
        named = (item.get("type") or item.get("object")) if isinstance(item, dict) else None
        return Arrival((Part("raw", fields={"type": str(named or type(item).__name__)}),))

    def _of_ours(self, frame: Mapping[str, Any]) -> Arrival:
        arrival = self._native.frame(frame)
        if arrival.end is not None:
            self._end = arrival
            return Arrival()
        return arrival._replace(cursor=None)  # an iterator cannot be asked for what comes behind it


def _bare(item: str | Part | bytes | bytearray | memoryview) -> Arrival:
    if isinstance(item, str):
        return Arrival((Part("text", item),) if item else ())
    if isinstance(item, Part):
        if not all(type(one) is str for one in (item.kind, item.text, item.agent)):  # no log could be read behind it
            raise SourceMalformed(
                f"the iterator yields a Part whose kind, text or agent is no text: {item!r:.{QUOTE_CHARS}}"
            )
        return Arrival((item,))
    raise SourceMalformed(f"the iterator yields {type(item).__name__}: decode to str before showing")
