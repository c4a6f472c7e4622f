"""What an iterator raises, as our errors: lost, refused or a bug of the code under it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from nbstream.errors import SourceError, SourceLost, SourceRefused
from nbstream.sources.origin import line_of
from nbstream.sources.refusal import ErrorObject, is_retryable, plain_text, read_error, refused_by_frame, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Iterator

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

#: What Bedrock calls them, without "Exception", in the words that say whether trying again may help.
_OF_BEDROCK = {
    "throttling": "too_many_requests", "internalserver": "internal_server_error", "modelstreamerror": "server_error",
    "serviceunavailable": "service_unavailable", "modeltimeout": "timeout",
}  # fmt: skip


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
        status = _status_of(one) or next((_REFUSED[name] for name in names if name in _REFUSED), None)
        error = _error_object(one)
        if status is not None:
            quota = error is not None and "insufficient_quota" in error.names
            headers = getattr(getattr(one, "response", None), "headers", None) or getattr(one, "headers", None) or {}
            return SourceRefused(
                raised,
                status=status,
                retryable=is_retryable(status) and not quota,
                retry_after_s=retry_after_s(headers, time.time()),
            )
        if any(name in _LOST for name in names):
            return SourceLost(raised)
        if error is not None:
            return SourceRefused(raised, retryable=refused_by_frame(error).retryable)
    return SourceRefused(raised)


def _status_of(exc: BaseException) -> int | None:
    """Return the HTTP status that refused the call; an error inside a stream may carry the 200 it began with."""
    given = [getattr(exc, name, None) for name in ("status_code", "code")]  # the latter is google-genai's
    if isinstance(told := getattr(exc, "response", None), dict):  # botocore's
        given.append((told.get("ResponseMetadata") or {}).get("HTTPStatusCode"))
    return next((status for status in given if type(status) is int and 400 <= status < 600), None)


def _error_object(exc: BaseException) -> ErrorObject | None:
    """Return the provider's error object, which the exceptions of its SDK carry somewhere."""
    body = getattr(exc, "body", None)
    if isinstance(body, dict) and body:
        return read_error(body if isinstance(body.get("error"), dict) else {"error": body})
    told = getattr(exc, "response", None)
    error = told.get("Error") if isinstance(told, dict) else None
    return error_of_bedrock(str(error.get("Code", "")), error.get("Message")) if isinstance(error, dict) else None


def error_of_bedrock(name: str, message: Any) -> ErrorObject:
    """Return the error that Bedrock calls *name*, as an exception or as an event."""
    code = name.lower().removesuffix("exception")
    return ErrorObject(plain_text(str(message or name)), (_OF_BEDROCK.get(code, code),))


def _causes(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = exc
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__
