"""Keeping keys out of everything that is stored or shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "***"

# By its end: `access_token` is a secret, `max_tokens` and `keywords` are not.
_SECRET_NAME = re.compile(
    r"(key|token|secret|passw(or)?d|pwd|auth(orization)?|cookie|signature|sig|credentials?)$", re.IGNORECASE
)
#: Headers whose values are words that an error text may well contain.
_PLAIN_HEADERS = frozenset({"accept", "accept-language", "cache-control", "content-type", "user-agent"})
#: What looks like a key wherever it stands: `Bearer ...`, and the prefixes that providers give their keys.
_KEY_SHAPE = re.compile(r"(?i:\b(bearer|basic)\s+)[\w.~+/=-]{8,}|\b(?:sk|pk|rk|gsk|xai|hf|AIza)[-_]?[\w-]{16,}")


def is_secret_name(name: str) -> bool:
    """Whether the header or query parameter *name* probably holds a key."""
    return bool(_SECRET_NAME.search(name))


def safe_url(url: str) -> str:
    """Return *url* without user and password, and without the values of parameters that look like keys."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{HIDDEN}@{host}" if "@" in parts.netloc else host
    query = "&".join(_safe_pair(pair) for pair in parts.query.split("&"))
    return urlunsplit((parts.scheme, netloc, parts.path, query, ""))


def secrets_of_url(url: str) -> list[str]:
    """Return what `safe_url` hides, as it stands in the URL and decoded."""
    parts = urlsplit(url)
    pairs = [pair.partition("=") for pair in parts.query.split("&")]
    found = [value for name, _, value in pairs if is_secret_name(name)]
    found += [value for value in (parts.username, parts.password) if value]
    return found + [unquote_plus(value) for value in found]


def secrets_of_headers(headers: Iterable[tuple[str, str]]) -> list[str]:
    """Return the values of *headers*, and the bare token of `Bearer <token>`."""
    found: list[str] = []
    for name, value in headers:
        if is_secret_name(name):
            found += [value, value.rpartition(" ")[2]]
        elif len(value) >= 8 and name.lower() not in _PLAIN_HEADERS:
            found.append(value)
    return found


class Redactor:
    """Replaces known secrets, and what looks like one, in texts that come from outside."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # Shorter ones would tear holes into ordinary words. Longest first: one may contain another.
        self._secrets = sorted({secret for secret in secrets if len(secret) >= 4}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return *text* without them."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return _KEY_SHAPE.sub(lambda match: f"{match[1]} {HIDDEN}" if match[1] else HIDDEN, text)


def _safe_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}={HIDDEN}" if equals and is_secret_name(name) else pair
