"""How an upstream says no: statuses, error objects and the wait it asks for, as one `SourceRefused`."""

from __future__ import annotations

import html
import json
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from nbstream.errors import SourceRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Longest quotation of a server's own words.
QUOTE_CHARS = 200

_RETRYABLE = frozenset({408, 409, 425, 429})
#: Waiting does not bring money: refused although the status is 429.
_QUOTA = frozenset({
    "insufficient_quota", "quota_exceeded", "billing_hard_limit_reached", "billing_not_active", "insufficient_credits",
    "exceeded_current_quota_error", "access_terminated",
})  # fmt: skip
_TRANSIENT = frozenset({
    "server_error", "internal_error", "internal_server_error", "internalservererror", "api_error", "overloaded",
    "overloaded_error", "engine_overloaded", "rate_limit_error", "rate_limit_exceeded", "too_many_requests",
    "service_unavailable", "unavailable", "timeout", "timeout_error", "resource_exhausted",
})  # fmt: skip
_ADVICE = {
    401: "check the key",
    402: "the account has no credit",
    403: "the key may not do this",
    404: "check the address and the model's name",
    413: "the request is too large",
}


#: Under these names a frame says what it is; `object` is left out, which says no more than whose frame it is.
_KINDS = ("type", "event", "event_type")
_CODES = ("code", "status", "status_code", "statusCode", "error_code")
#: Gateways put these beside an answer that is well. As text: to Python 1 and True are one, and 0 and False.
_WELL = frozenset({"0", "200", "ok", "success", "true"})
#: Kinds that are an error without being called one.
_FAILED = frozenset({"exception", "failed", "failure"})
#: Under these names an error has its words, and other frames have theirs.
_WORDS = ("message", "detail", "error", "errorText", "msg", "error_msg", "status_msg")

_NO_KEY = "the call was made without a key"


class ErrorObject(NamedTuple):
    """
    An error as JSON carries it.

    `names` are its type and code, `retryable` its own word on that if it gives one, `wait_s` the seconds to wait.
    """

    message: str
    names: tuple[str, ...] = ()
    status: int | None = None
    retryable: bool | None = None
    wait_s: float | None = None


def is_retryable(status: int) -> bool:
    """Whether a request that got this *status* may be sent again."""
    return status in _RETRYABLE or status >= 500


def read_error(body: Any, *, strict: bool = True) -> ErrorObject | None:
    """
    Return the error in a decoded JSON *body*, or None.

    *strict* takes only what names itself an error, as frames of a stream must; a body that came with an error status
    may also just have a `message` or `detail`.
    """
    if not isinstance(body, dict):
        return None
    error = body.get("error")
    if not error:
        if body.get("object") != "error" and body.get("type") != "error" and (strict or not _message(body)):
            return None
        error = body
    if error is True:
        error = {name: value for name, value in body.items() if name != "error"}
    if not isinstance(error, dict):
        error = {"message": str(error)}
    named = (error.get("type"), error.get("code"), error.get("status"))
    status = next((value for value in named if type(value) is int and 400 <= value < 600), None)
    retryable = error.get("retryable")
    return ErrorObject(
        message=_message(error) or plain_text(json.dumps(error)),
        names=tuple(value.lower() for value in named if isinstance(value, str) and value != "error"),
        status=status,
        retryable=retryable if isinstance(retryable, bool) else None,
        wait_s=_wait_s(error.get("details")),
    )


def read_failure(frame: Mapping[str, Any]) -> ErrorObject | None:
    """
    Return the error that a *frame* tells beyond doubt in a way of its own, None if it tells none.

    An `error`, a code or status from 400 to 599, `base_resp` with a code, `errors`, `success: false`, or a kind that is
    called an error. What names itself something else is none; what only has words may be one, see `read_suspicion`.
    """
    if (error := read_error(frame)) is not None:
        return error
    kinds, inner = _kinds(frame), frame.get("base_resp")
    told = inner if isinstance(inner, dict) else frame
    codes = _codes(told)
    if any(type(code) is int and 400 <= code < 600 for code in codes) or "error" in kinds:
        failed = True
    elif told is not frame and codes:
        failed = not _is_well(codes)
    elif kinds:
        failed = bool(_message(frame)) and any(_is_error(kind.lower()) for kind in kinds)
    else:
        failed = bool(frame.get("errors")) or frame.get("success") is False or frame.get("status") is False
    return read_error({"error": dict(told)}) if failed else None


def read_suspicion(frame: Mapping[str, Any]) -> ErrorObject | None:
    """
    Return the error that a *frame* without any field of its format may be by its words alone, None if it is none.

    `{"detail": ...}` and `{"message": ..., "code": ...}` are all that some gateways say before they hang up, and what
    others say of their progress: it was an error if nothing of the answer comes behind it. A bare `title` is none: in a
    problem (RFC 9457) a status stands beside it.
    """
    if _kinds(frame) or frame.get("usage") or frame.get("success") is True or _is_well(_codes(frame)):
        return None
    return read_error({"error": dict(frame)}) if _message(frame, _WORDS) or frame.get("detail") else None


def _kinds(frame: Mapping[str, Any]) -> list[str]:
    return [kind for name in _KINDS if isinstance(kind := frame.get(name), str)]


def _codes(told: Mapping[str, Any]) -> list[int | str]:
    return [code for name in _CODES if isinstance(code := told.get(name), (int, str))]


def _is_well(codes: list[int | str]) -> bool:
    return any(str(code).lower() in _WELL for code in codes)


def _is_error(kind: str) -> bool:
    # That of a tool is the model's business, which reads it and goes on.
    return kind in _FAILED or kind in _TRANSIENT or (kind.endswith("error") and "tool" not in kind)


def refused_by_frame(error: ErrorObject) -> SourceRefused:
    """Return the exception for an error *inside* a stream."""
    if error.retryable is not None:
        retryable = error.retryable
    elif any(name in _QUOTA for name in error.names):
        retryable = False
    else:
        transient = error.status is not None and is_retryable(error.status)
        retryable = transient or any(name in _TRANSIENT for name in error.names)
    named = f" ({', '.join(error.names)})" if error.names else ""
    message = f"the upstream reported an error: {error.message}{named}"
    return SourceRefused(message, retryable=retryable, retry_after_s=error.wait_s)


def refused_by_status(
    what: str, status: int, reason: str, headers: Mapping[str, str], body: bytes, *, now: float, keyed: bool
) -> SourceRefused:
    """
    Return the exception for an answer with an error *status*.

    *now* is wall time, for a Retry-After date; *keyed*: the call had a key, as far as we can tell.
    """
    text = body.decode("utf-8", "replace")
    error = None
    if "json" in headers.get("content-type", ""):
        try:
            error = read_error(json.loads(text), strict=False)
        except ValueError:
            error = None  # cut off, or not JSON at all: quoted as text below
    quota = error is not None and any(name in _QUOTA for name in error.names)
    said = error.message if error else plain_text(text)
    # llama.cpp answers so from its first second on, until the model is in memory.
    starting = status == 503 and said.lower().startswith("loading model")
    message = f"{what} answered {status} {reason}".rstrip()
    if said:
        message += f": {said}"
    if quota:
        message += "; the quota is used up"
    elif starting:
        message += "; it is asked again until the model is there"
    elif status in {401, 403} and not keyed:
        message += f"; {_NO_KEY}"
    elif status in _ADVICE:
        message += f"; {_ADVICE[status]}"
    wait_s = retry_after_s(headers, now)
    if wait_s is None and error is not None:
        wait_s = error.wait_s
    return SourceRefused(
        message, status=status, retryable=is_retryable(status) and not quota, retry_after_s=wait_s, starting=starting
    )


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Return the wait the server asks for: `retry-after-ms`, or `Retry-After` as seconds or as a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", value):
            return float(value) * unit
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None  # absent, or not a date


def plain_text(text: str) -> str:
    """Return the beginning of *text* as one line: no tags, no control characters."""
    text = re.sub(r"(?is)<(script|style|head)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", " ", text)
    line = " ".join(html.unescape(text).split())
    line = "".join(char for char in line if char.isprintable())
    return line if len(line) <= QUOTE_CHARS else f"{line[:QUOTE_CHARS]}..."


def _wait_s(details: Any) -> float | None:
    """Return the wait that Google's services ask for, who send no header: `{"retryDelay": "34.1s"}`."""
    for one in details if isinstance(details, list) else ():
        asked = one.get("retryDelay") if isinstance(one, dict) else None
        if isinstance(asked, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?s", asked):
            return float(asked[:-1])
    return None


def _message(error: Mapping[str, Any], names: tuple[str, ...] = (*_WORDS, "title")) -> str:
    for name in names:
        value = error.get(name)
        if isinstance(value, str) and value.strip():
            return plain_text(value)
    return ""
