"""
What the HTTP libraries log of our calls, without keys.

A notebook with `logging.basicConfig(level=logging.INFO)` shows every address that httpx asks, and keeps it in its file;
with DEBUG also the headers of the answers.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Redact = Callable[[str], str]

#: Of the call that is made in this context; None: a call of somebody else's, whose log is none of our business.
_redact: ContextVar[Redact | None] = ContextVar("nbstream_redact", default=None)


class _WithoutKeys(logging.Filter):
    """Lets everything pass, redacted."""

    def filter(self, record: logging.LogRecord) -> bool:
        redact = _redact.get()
        if redact is not None:
            record.msg, record.args = redact(record.getMessage()), ()
        return True


# A filter sees only what is logged under its very name.
for _name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks"):
    logging.getLogger(_name).addFilter(_WithoutKeys())


@contextmanager
def redacted(redact: Redact) -> Iterator[None]:
    """Let what is logged of requests in this context go through *redact*."""
    token = _redact.set(redact)
    try:
        yield
    finally:
        _redact.reset(token)
