"""What an iterator yields, in our words; and what it raises, as our errors."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceError, SourceLost, SourceMalformed, SourceRefused
from nbstream.records import Part
from nbstream.sources.contract import Arrival, End
from nbstream.sources.formats.native import Native
from nbstream.sources.formats.openai_chat import OpenAIChat
from nbstream.sources.objects.agent_items import AgentItems
from nbstream.sources.origin import line_of
from nbstream.sources.refusal import ErrorObject, is_retryable, plain_text, read_error, refused_by_frame, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# By name, never by class: the SDKs of OpenAI, Anthropic and Google bring an HTTP library of their own (httpx2), and
# importing theirs to compare would be slow and often impossible.
_LOST = frozenset({
    "APIConnectionError", "APITimeoutError", "ConnectError", "ConnectTimeout", "ReadError", "ReadTimeout", "WriteError",
    "RemoteProtocolError", "NetworkError", "TimeoutException", "TransportError", "ConnectionError", "TimeoutError",
    "ProtocolError", "IncompleteRead", "ChunkedEncodingError", "ClientConnectionError", "ClientPayloadError",
    "ServerDisconnectedError",
})  # fmt: skip
_REFUSED: dict[str, int] = {
    "BadRequestError": 400, "AuthenticationError": 401, "PermissionDeniedError": 403, "NotFoundError": 404,
    "RateLimitError": 429, "InternalServerError": 500,
}  # fmt: skip


class ItemReader:
    """
    Reads str, `Part`, chat-completion chunks (dicts or objects), native frames as dicts, and what agents yield.

    The iterator's own end is the end mark, except behind chunks: their SDKs report a cut connection as a normal end, so
    there a finish_reason must have come. An iterator of nothing that we know is no empty answer: its end is an error.
    """

    def __init__(self) -> None:
        self._chat = OpenAIChat()
        self._native = Native()
        self._agents = AgentItems()
        self._end: Arrival | None = None
        self._unknown: str | None = None
        self._understood = False

    def read(self, item: Any) -> Arrival:
        """Return what *item* says."""
        arrival = self._read(item)
        if arrival.parts and arrival.parts[0].kind == "raw":
            self._unknown = self._unknown or type(item).__name__
        elif item:
            self._understood = True
        return arrival

    def _read(self, item: Any) -> Arrival:
        if isinstance(item, str):
            return Arrival((Part("text", item),) if item else ())
        if isinstance(item, Part):
            return Arrival((item,))
        if isinstance(item, (bytes, bytearray, memoryview)):
            raise SourceMalformed(f"the iterator yields {type(item).__name__}: decode to str before showing")
        try:
            said = self._agents.read(item)
            if said is not None:
                return said
            frame = item if isinstance(item, dict) else _plain(item) if hasattr(item, "choices") else None
            if frame is None:
                return Arrival((Part("raw", fields={"type": type(item).__name__}),))
            if frame.get("type") in {"delta", "agent_output", "done", "error"} and "choices" not in frame:
                return self._frame(frame)
            return self._chat.frame(frame)
        except (AttributeError, TypeError, LookupError, ValueError) as exc:
            raise SourceMalformed(f"the iterator yields an item that is no chunk: {str(item)[:80]!r}") from exc

    def eof(self) -> Arrival:
        """Return the end; raises `SourceLost` if chunks came without a finish_reason, or nothing that we know came."""
        if self._end is not None:
            return self._end
        end = self._chat.eof() or self._agents.eof()
        if end is not None:
            return end
        if self._chat.begun:
            raise SourceLost("the iterator ended without a finish_reason: the connection under it was probably cut")
        if self._unknown and not self._understood:
            raise SourceMalformed(
                f"nothing to show: the iterator yields {self._unknown}; let it yield str (say, `x.text for x in it`)"
            )
        return Arrival(end=End())

    def _frame(self, frame: Mapping[str, Any]) -> Arrival:
        arrival = self._native.frame(frame)
        if arrival.end is not None:
            self._end = arrival
            return Arrival()
        return arrival._replace(cursor=None)  # an iterator cannot be asked for what comes behind it


def error_of(exc: BaseException) -> SourceError:
    """Return what an exception that an iterator raised means for the stream; it is the error's cause."""
    if isinstance(exc, SourceError):
        return exc  # with the cause that it has
    error = _error_of(exc)
    error.__cause__ = exc
    return error


def _error_of(exc: BaseException) -> SourceError:
    said = plain_text(str(exc))
    raised = f"the iterator raised {type(exc).__name__}{line_of(exc)}" + (f": {said}" if said else "")
    for one in _causes(exc):
        names = [kind.__name__ for kind in type(one).__mro__]
        status = next((_REFUSED[name] for name in names if name in _REFUSED), None)
        given = getattr(one, "status_code", None)
        status = given if type(given) is int else status
        error = _error_object(one)
        if status is not None:
            quota = error is not None and "insufficient_quota" in error.names
            headers = getattr(getattr(one, "response", None), "headers", None) or {}
            return SourceRefused(
                raised,
                status=status,
                retryable=is_retryable(status) and not quota,
                retry_after_s=retry_after_s(headers, time.time()),
            )
        if any(name in _LOST for name in names):
            return SourceLost(raised)
        if error is not None and "APIError" in names:
            return SourceRefused(raised, retryable=refused_by_frame(error).retryable)
    return SourceRefused(raised)


def _error_object(exc: BaseException) -> ErrorObject | None:
    """Return the provider's error object that SDK exceptions carry as `body`."""
    body = getattr(exc, "body", None)
    return read_error({"error": body}) if isinstance(body, dict) and body else None


def _causes(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = exc
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__


def _plain(value: Any) -> Any:
    """Return *value* as dicts and lists, however its SDK models it."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if hasattr(value, "model_dump"):
        return value.model_dump()
    return {name: _plain(one) for name, one in vars(value).items() if not name.startswith("_")}
