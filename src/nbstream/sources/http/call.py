"""One HTTP call as the user described it: what is sent, and what may be told about it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from nbstream.errors import SourceRefused
from nbstream.records import whole_characters
from nbstream.sources.http.fence import Fence
from nbstream.sources.http.key import BEARER, Key
from nbstream.sources.redaction import (
    HIDDEN,
    Redactor,
    holds_key,
    safe_url,
    secrets_of_body,
    secrets_of_headers,
    secrets_of_url,
)

#: The embedded demo model; its port is looked up when the call is made, and is no part of the question.
DEMO = "demo:"
#: A model of this machine, `local:/NAME/path`; its server is started when the call is made.
LOCAL = "local:"
#: Addresses that become one of 127.0.0.1 when the call is made.
OWN = (DEMO, LOCAL)

TITLE_CHARS = 80

FORM = "application/x-www-form-urlencoded"

#: Headers of APIs that say a version, and are no secret: stored, so that any process can ask again.
_STORED_HEADERS = frozenset({"anthropic-version", "anthropic-beta"})

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?|")


@dataclass(frozen=True, repr=False)
class Call:
    """
    A request that can be sent any number of times.

    `url` is http(s), or one of `OWN`. `key` says where its key comes from: that is
    read when the call is made and never stored, unless `with_key` brought it: then this process's own variable counts
    for nothing. `question` is what makes two calls the same.
    """

    method: str
    url: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    key: Key | None = None
    question: str = ""
    title: str | None = None
    #: The body was given as JSON: then it stands for its value, however it is spelled.
    is_json: bool = False
    #: Where it may go; None: wherever it is sent.
    fence: Fence | None = field(default=None, compare=False)
    _key: str = field(default="", compare=False)
    _brought: bool = field(default=False, compare=False)

    @classmethod
    def of(
        cls,
        method: str,
        url: str,
        *,
        json_body: Any = None,
        content: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        key: Key | None = None,
    ) -> Call:
        """Check and freeze a request; raises `ValueError` or `TypeError` with one clear line."""
        check_url(url)
        if json_body is not None and content is not None:
            raise ValueError("give json= or content=, not both")
        method = method.upper()
        if not _HEADER_NAME.fullmatch(method):
            raise ValueError(f"not an HTTP method: {method!r}")
        check_headers(headers)
        given = tuple((name, _checked(name, value)) for name, value in (headers or {}).items())
        if json_body is not None:
            body: bytes | None = _json(json_body).encode()
            question = _json(json_body, canonical=True)
            if not any(name.lower() == "content-type" for name, _ in given):
                given += (("Content-Type", "application/json"),)
        else:
            body = content.encode() if isinstance(content, str) else content
            question = "" if body is None else hashlib.sha256(body).hexdigest()
        call = cls(method, url, body, given, key, question, is_json=json_body is not None)
        title = _title(json_body)
        # Redacted before it is cut: the beginning of a key has the shape of nothing.
        return replace(call, title=call.redact(title)[:TITLE_CHARS]) if title else call

    def __repr__(self) -> str:
        return f"{self.method} {safe_url(self.url)}"

    def ready(self) -> Call:
        """Return the call with its key, read now; raises `SourceRefused` when there is none."""
        if self.key is None:
            return self
        key = self._key if self._brought else self.key.read()
        if not key:
            raise self.key.missing()
        if not _HEADER_VALUE.fullmatch(key):
            raise SourceRefused(f"{self.key.name} holds characters that no key has: set it again and run again")
        return replace(self, headers=(*self.headers, self.key.header(key)), _key=key)

    def with_key(self, key: str) -> Call:
        """Return the call with a key that came with it from another process; empty: that one had none."""
        return replace(self, _key=key, _brought=True)

    def saying(self, body: Any) -> Call:
        """Return the call with another JSON body; who asks, and whom, stays."""
        return replace(self, body=_json(body).encode(), question=_json(body, canonical=True))

    @property
    def has_key(self) -> bool:
        """Whether a key came with it."""
        return bool(self._key)

    @property
    def key_env(self) -> str | None:
        """The name by which its key travels, None where it needs none or the user's own function gives it."""
        return self.key.env if self.key is not None else None

    @property
    def secrets(self) -> list[str]:
        """Every value of this call that must not come out anywhere."""
        known = [self._key, *secrets_of_url(self.url), *secrets_of_headers(self.headers)]
        return [*known, *secrets_of_body(self._text or "", form=self._is_form)]

    @property
    def redact(self) -> Redactor:
        """What to put every text of the server through."""
        return Redactor(self.secrets)

    @property
    def keyed_body(self) -> bool:
        """Whether the body holds a key, under its name or by its shape."""
        text = self._text
        return text is not None and (holds_key(text) or bool(secrets_of_body(text, form=self._is_form)))

    @property
    def _text(self) -> str | None:
        try:
            return None if self.body is None else self.body.decode()
        except UnicodeDecodeError:
            return None

    @property
    def _is_form(self) -> bool:
        return any(name.lower() == "content-type" and FORM in value.lower() for name, value in self.headers)

    @property
    def _storable(self) -> str | None:
        """The body as the log may keep it, so that any process can ask again: None for bytes and for one with keys."""
        return None if self.keyed_body else self._text

    def spec(self, format: str) -> dict[str, Any]:
        """Describe the call for the log: names of headers and variables, never their values."""
        spec: dict[str, Any] = {"kind": "sse", "method": self.method, "url": safe_url(self.url), "format": format}
        stored = {name: value for name, value in self.headers if name.lower() in _STORED_HEADERS}
        if len(stored) < len(self.headers):
            spec["headers"] = [name for name, _ in self.headers if name not in stored]
        if stored:
            spec["stored_headers"] = stored
        if self.key is not None:
            spec["key_env"] = self.key.env
            if self.key.sent_as != BEARER:
                spec["key_header"] = self.key.sent_as
        if self.body is not None:
            spec["body"] = hashlib.sha256(self.question.encode()).hexdigest()
            content = self._storable
            if content is not None:
                spec["content"] = content
        if self.title:
            spec["title"] = self.title
        return spec

    @classmethod
    def of_spec(cls, spec: Mapping[str, Any]) -> Call:
        """
        Make the call again that `spec` described, in another process.

        Raises `SourceRefused` where something was kept out of the log that the call needs.
        """
        secret = [name for name in spec.get("headers", ()) if name.lower() != "content-type"]
        kept_out = (
            f"the headers {', '.join(secret)}" if secret
            else "a key in its address" if HIDDEN in spec["url"]
            else "its body" if "body" in spec and "content" not in spec
            else "its key, which a function gave" if "key_env" in spec and spec["key_env"] is None
            else None
        )  # fmt: skip
        if kept_out is not None:
            raise SourceRefused(f"the call needs {kept_out}, never stored: run the cell that made it")
        content = spec.get("content")
        is_json = bool(spec.get("headers"))
        headers = (*spec.get("stored_headers", {}).items(), *((("Content-Type", "application/json"),) * is_json))
        body = None if content is None else content.encode()
        key = Key(spec["key_env"], spec.get("key_header", BEARER)) if "key_env" in spec else None
        question = _question(content, is_json=is_json)
        return cls(spec["method"], spec["url"], body, headers, key, question, is_json=is_json)

    def beside(self, method: str, url: str) -> Call:
        """Return a call to another address of the same server, without a body: to join a run, to end it."""
        headers = tuple(pair for pair in self.headers if pair[0].lower() != "content-type")
        return replace(self, method=method, url=url, body=None, headers=headers, is_json=False)

    def fingerprint(self, format: str) -> str:
        """Return what is equal exactly for the same question. Who asks (headers, user, password) is no part of it."""
        parts = urlsplit(self.url)
        url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
        return hashlib.sha256(_json([self.method, url, self.question, format]).encode()).hexdigest()


def _question(content: str | None, *, is_json: bool) -> str:
    if content is None:
        return ""
    return _json(json.loads(content), canonical=True) if is_json else hashlib.sha256(content.encode()).hexdigest()


def with_offset(url: str, offset: int) -> str:
    """Return *url* asking for what comes behind *offset*; the rest of the query stays as it is, byte for byte."""
    parts = urlsplit(url)
    kept = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] != "offset"]
    return urlunsplit(parts._replace(query="&".join([*kept, f"offset={offset}"])))


def check_url(url: str) -> None:
    """Raise `ValueError` for what is neither an http(s) address nor one of the demo server."""
    if url.startswith(OWN):
        return
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        # urlsplit() drops line ends, which is not what will be sent.
        clean = url.isprintable() and url == url.lstrip() and not any(char.isspace() for char in host)
        fine = clean and parts.scheme in {"http", "https"} and bool(host) and parts.port != 0
        shown = safe_url(url)
    except ValueError:
        fine, shown = False, url.partition("?")[0].rpartition("@")[2]
    if not fine:
        raise ValueError(f"not an http:// or https:// address: {shown if '//' in url else shown.rpartition('@')[2]!r}")


def check_headers(headers: Any) -> None:
    """Raise `TypeError` for what is neither None nor a mapping."""
    if headers is not None and not isinstance(headers, Mapping):
        raise TypeError(f"headers= must map names to values, not {type(headers).__name__}")


def _checked(name: str, value: Any) -> str:
    # The value is a secret as often as not: no message quotes it.
    if not isinstance(value, str):
        raise TypeError(f"header {name!r}: the value must be str, not {type(value).__name__}")
    if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"header {name!r} holds characters that HTTP does not allow (a line end behind a key?)")
    return value


def _json(value: Any, *, canonical: bool = False) -> str:
    try:
        return json.dumps(value, sort_keys=canonical, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise type(exc)(f"the request is not JSON: {exc}") from exc


def _title(body: Any) -> str | None:
    """Return the user's prompt on one line, to recognise a stream by. Other fields may hold keys: not shown."""
    if not isinstance(body, dict):
        return None
    prompt = body.get("messages") or body.get("contents") or body.get("prompt") or body.get("input")
    if isinstance(prompt, list):
        users = [one for one in prompt if isinstance(one, dict) and one.get("role") == "user"]
        prompt = users[-1].get("content") or users[-1].get("parts") if users else None
    if isinstance(prompt, list):
        prompt = " ".join(str(one["text"]) for one in prompt if isinstance(one, dict) and "text" in one)
    return " ".join(whole_characters(prompt).split()) or None if isinstance(prompt, str) else None
