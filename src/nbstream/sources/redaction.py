"""Keeping keys out of everything that is stored or shown."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_plus, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HIDDEN = "***"

# Shorter ones would tear holes into ordinary words; from MIN_SPELLED on they are looked for in every spelling.
MIN_CHARS = 4
MIN_SPELLED = 8

# A quote is cut after at most 200 characters, and may so end inside a key; the host of an address at its first slash.
MIN_CUT, MAX_CUT = 6, 200
_CUT_ENDS = ("...", "'", '"', ";")

# By its end: `access_token` is a secret, `max_tokens` and `keywords` are not.
_SECRET_NAME = re.compile(
    r"(key|token|secret|passw(or)?d|pwd|auth(orization)?|cookie|signature|sig|credentials?)$", re.IGNORECASE
)
#: Headers whose values are words that an error text may well contain.
_PLAIN_HEADERS = frozenset({
    "accept", "accept-language", "anthropic-beta", "anthropic-version", "cache-control", "content-type", "user-agent",
})  # fmt: skip
#: The prefixes that providers give their keys.
_PREFIXED = re.compile(r"\b(?:(?:sk|pk|rk|gsk|xai|hf)[-_]|AIza)[\w-]{16,}")
#: What may be a key wherever it stands: `Bearer ...`, `Basic ...`, or a prefix. `_is_key` has the last word.
_KEY_SHAPE = re.compile(rf"(?i:\b(bearer|basic))\s+([A-Za-z0-9.~+/=_-]{{8,}})|{_PREFIXED.pattern}")
#: Parts of a word, also of one in CamelCase; in a key of letters one of them is a single letter, as good as always.
_WORD_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_SCHEME = re.compile(r"(?i:bearer|basic|token)\s+(?=\S)")
#: A whole text like `a=b&c=d`.
_FORM = re.compile(r"\ufeff?[^\s=&]+=[^\s&]*(?:&[^\s=&]+=[^\s&]*)*\s*")
#: One of these marks a JSON schema: what stands under the name of a key there describes it.
_SCHEMA_WORDS = frozenset({"type", "$ref", "anyOf", "oneOf", "allOf", "enum"})


def is_secret_name(name: str) -> bool:
    """Whether the header, parameter or field *name* probably holds a key."""
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
    found = [value for value in (parts.username, parts.password) if value]
    return [*_secrets_of_pairs(parts.query), *found, *(unquote_plus(value) for value in found)]


def secrets_of_headers(headers: Iterable[tuple[str, str]]) -> list[str]:
    """Return the values of *headers*, and the bare token of `Bearer <token>`."""
    found: list[str] = []
    for name, value in headers:
        if is_secret_name(name):
            found += [value, value.rpartition(" ")[2]]
        elif len(value) >= 8 and name.lower() not in _PLAIN_HEADERS:
            found.append(value)
    return found


def secrets_of_body(text: str, *, form: bool = False) -> list[str]:
    """
    Return what stands under the names of keys in a body, in every spelling it may come back in.

    The body is JSON, or pairs like those of a query: *form* says that it is, otherwise its look does.
    """
    try:
        return list(_secrets_of_json(json.loads(text)))
    except (ValueError, RecursionError):
        return _secrets_of_pairs(text.strip("\ufeff \r\n")) if form or _FORM.fullmatch(text) else []


def secrets_of_environment(environment: Mapping[str, str]) -> list[str]:
    """Return what stands under the names of keys in *environment*: where a call of the user's own takes them from."""
    return [value for name, value in environment.items() if len(value) >= MIN_SPELLED and is_secret_name(name)]


def holds_key(text: str) -> bool:
    """Whether something in *text* has the shape of a key, as it stands or behind the escapes of JSON or a form."""
    try:
        decoded = list(_texts_of_json(json.loads(text)))
    except ValueError:
        decoded = [unquote_plus(text)] if _FORM.fullmatch(text) else []
    except RecursionError:
        return True  # too deep to look through
    return _has_key(text) or any(_has_key(one) for one in decoded)


class Redactor:
    """Replaces known secrets, and what looks like one, in texts that come from outside."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {one for secret in secrets if len(secret) >= MIN_CHARS for one in _spellings(secret)}
        # Longest first: one may contain another.
        self._known = sorted(known, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return *text* without them."""
        for known in self._known:
            # In any case: names of errors and of hosts come in lower case. The first look is much the fastest.
            if known.lower() in text.lower():
                text = re.sub(re.escape(known), HIDDEN, text, flags=re.IGNORECASE)
        for known in self._known:
            if known[:MIN_CUT].lower() in text.lower():
                text = _without_cut(known, text)
        return _KEY_SHAPE.sub(_hidden, text)


def _spellings(secret: str) -> Iterator[str]:
    """Yield *secret* as it is, and as servers, libraries and we ourselves write what we quote: escaped, encoded."""
    yield secret
    if len(secret) < MIN_SPELLED:
        return
    in_json = json.dumps(secret)[1:-1]
    for escaped in (secret, in_json, in_json.replace("/", "\\/")):  # PHP escapes slashes
        yield from (escaped, escaped.replace("\\", "\\\\"))  # and repr() what is escaped already
    yield from (quote(secret, safe=safe, errors="replace") for safe in ("", "/"))
    for altchars in (b"+/", b"-_"):
        yield base64.b64encode(secret.encode(errors="replace"), altchars).decode().rstrip("=")


def _without_cut(known: str, text: str) -> str:
    """Return *text* without the beginnings of *known* that stand where a quotation ends."""
    for end in _CUT_ENDS:
        at = text.find(end)
        while at >= 0:
            for length in range(min(len(known), MAX_CUT) - 1, MIN_CUT - 1, -1):
                if text[max(at - length, 0) : at].lower() == known[:length].lower():
                    text = text[: at - length] + HIDDEN + text[at:]
                    at += len(HIDDEN) - length
                    break
            at = text.find(end, at + 1)
    return text


def _hidden(match: re.Match[str]) -> str:
    if not _is_key(match):
        return match[0]
    return f"{match[1]} {HIDDEN}" if match[1] else HIDDEN


def _has_key(text: str) -> bool:
    return any(_is_key(match) for match in _KEY_SHAPE.finditer(text))


def _is_key(match: re.Match[str]) -> bool:
    """Tell `Basic dTpw` from basic principles, and `Bearer 5f...` from bearer authentication."""
    scheme, token = match.groups()
    if scheme is None or _PREFIXED.search(token):
        return True
    if scheme.lower() == "bearer":
        return not _is_prose(token)
    digits = re.sub(r"[^A-Za-z0-9+/].*", "", token)
    try:
        decoded = base64.b64decode(digits[: len(digits) // 4 * 4]).decode()
    except ValueError:
        return False
    return ":" in decoded and decoded.isprintable()


def _is_prose(token: str) -> bool:
    """Whether *token* is made of words, or stands for a key as YOUR_API_KEY does."""
    if re.fullmatch(r"[A-Z_]+", token):
        return True
    letters = re.fullmatch(r"[A-Za-z/-]+\.*", token)
    return letters is not None and all(len(part) > 1 for part in _WORD_PART.findall(token))


def _secrets_of_pairs(text: str) -> list[str]:
    """Return the values under secret names in `a=b&c=d`, as they stand and decoded."""
    pairs = [pair.partition("=") for pair in text.split("&")]
    found = [value for name, _, value in pairs if value and is_secret_name(unquote_plus(name).rstrip("]"))]
    return found + [unquote_plus(value) for value in found]


def _secrets_of_json(value: Any, *, secret: bool = False, schemas: bool = False) -> Iterator[str]:
    """Yield every text and number under a secret name; *schemas*: the names of *value* are those of a tool's input."""
    if isinstance(value, dict):
        for name, one in value.items():
            named = is_secret_name(name) and not (schemas and isinstance(one, dict) and _SCHEMA_WORDS & one.keys())
            yield from _secrets_of_json(one, secret=secret or named, schemas=name == "properties")
    elif isinstance(value, list):
        for one in value:
            yield from _secrets_of_json(one, secret=secret)
    elif secret and value and not isinstance(value, bool):
        bare = _SCHEME.sub("", str(value), count=1)
        for spelled in (str(value), bare):
            yield from (spelled, json.dumps(spelled)[1:-1])


def _texts_of_json(value: Any) -> Iterator[str]:
    """Yield every text in *value*, names too."""
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _texts_of_json(one)
    elif isinstance(value, str):
        yield value


def _safe_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}={HIDDEN}" if equals and is_secret_name(name) else pair
