"""What the relay answers when something is wrong, and what every answer of it carries."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from nbstream.errors import (
    Fenced,
    LogDamaged,
    RecordsLost,
    RelayError,
    SourceError,
    SourceRefused,
    StoreFull,
    StreamError,
    StreamGone,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger(__name__)

#: Names of errors that are no errors of a stream.
TYPES = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed",
    406: "NotAcceptable", 408: "RequestTimeout", 409: "Conflict", 410: "Gone", 413: "ContentTooLarge",
    421: "MisdirectedRequest", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable",
    507: "InsufficientStorage",
}  # fmt: skip

#: On every answer. Nothing here is for another page, a cache, or a guess at what it might be.
SAFE = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
]

#: The same words whether there never was such a stream, it is somebody else's, or the id is none.
UNKNOWN = "there is no such stream here"


class Refusal(Exception):
    """An answer that is no: its status, one clear line, and the name of the error (by default that of the status)."""

    def __init__(
        self, status: int, message: str, *, kind: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})
        self.kind = kind or TYPES.get(status, "RelayError")


def refusal(exc: Exception, *, knew: bool) -> Refusal | None:
    """Return what to answer for *exc*, None if nobody foresaw it. *knew*: this relay has served the stream."""
    if isinstance(exc, Refusal):
        return exc
    if isinstance(exc, HTTPException):
        return Refusal(exc.status_code, exc.detail, headers=exc.headers)
    if isinstance(exc, StreamGone):
        return Refusal(410, str(exc), kind=exc.type) if knew else Refusal(404, UNKNOWN, kind=exc.type)
    if isinstance(exc, RelayError):
        return Refusal(exc.status or 500, str(exc))
    if isinstance(exc, StreamError):
        return Refusal(_STATUS.get(type(exc), 500), str(exc), kind=exc.type)
    return None


#: What a client may do about it decides: send the same again later, something else, or nothing.
_STATUS: dict[type[StreamError], int] = {
    Fenced: 409,
    StoreFull: 507,
    LogDamaged: 500,
    RecordsLost: 503,  # asked again, the answer begins at the beginning
    SourceRefused: 400,
    SourceError: 400,
}


class Answers:
    """Turns errors into answers (JSON, one line, without any key) and puts `SAFE` on all of them."""

    def __init__(
        self, app: ASGIApp, *, redact: Callable[[str], str], knew: Callable[[str], bool],
        report: Callable[[Exception], None] | None = None,
    ) -> None:  # fmt: skip
        self._app, self._redact, self._knew = app, redact, knew
        self._report = report or self._log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        started = False

        async def safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message["headers"], *SAFE]}
            await send(message)

        try:
            await self._app(scope, receive, safely)
        except ClientDisconnect:
            return  # nobody is there to be told
        except Exception as exc:  # noqa: BLE001 - it is answered and logged, whatever it is; uvicorn would log keys
            if started:
                self._report(exc)  # the answer stays incomplete, and the client sees that
                return
            await self._answer(exc, scope)(scope, receive, safely)

    def _answer(self, exc: Exception, scope: Scope) -> JSONResponse:
        stream = scope.get("path_params", {}).get("stream")
        no = refusal(exc, knew=stream is not None and self._knew(stream))
        if no is None:
            self._report(exc)
            no = Refusal(500, f"the relay failed ({type(exc).__name__}); its log says more")
        return JSONResponse(
            {"error": {"type": no.kind, "message": self._redact(" ".join(str(no).split()))}}, no.status, no.headers
        )

    def _log(self, exc: Exception) -> None:
        said = str(exc) if isinstance(exc, StoreFull) else "".join(traceback.format_exception(exc))
        _log.error("%s", self._redact(said))
