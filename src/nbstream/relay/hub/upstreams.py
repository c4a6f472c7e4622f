"""
The upstreams that a relay with many users calls, and its keys for them. What is not listed is not called.

An upstream is a provider, as `chat()` knows it, or an address and all below it. Its key goes to it alone: no redirect
is followed, and the address that was judged is the one that is connected to (`sources/http/fence.py`).
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from nbstream.errors import RelayError, SourceRefused
from nbstream.relay.hub.files import Entry, entries, stamp
from nbstream.sources.http.call import OWN, check_url
from nbstream.sources.http.fence import Fence, is_public
from nbstream.sources.http.key import BEARER, Key
from nbstream.sources.http.sse import SSESource
from nbstream.sources.models.providers import APIS, CHAT, PROVIDERS
from nbstream.sources.redaction import HIDDEN, holds_key, is_secret_name, secrets_of_url
from nbstream.sources.team import Team

if TYPE_CHECKING:
    from nbstream.sources.contract import Source
    from nbstream.sources.http.call import Call

#: Agents of one team: it counts as one stream, and each makes a call.
AGENTS = 64
S = TypeVar("S")
_FIELDS = frozenset({"provider", "url", "key_env", "key_file", "key_header", "private"})
#: Stands for the name of a model in an address.
_MODEL = "nbstream-any-model"
#: How keys are sent; a call may choose among these, not another header.
_WAYS = frozenset(api.key for api in APIS.values())
#: Ways to ask a provider besides its usual one.
_MORE = {"openai": ("openai.responses",)}
#: Headers that say where a request goes or who it is from: those are ours.
_OURS = frozenset({"host", "forwarded", "via", "connection", "transfer-encoding", "content-length", "upgrade"})
#: What a call of a model needs. Beside our key nothing else goes out: it may say another method, path or bill.
_PASSED = frozenset({
    "accept", "anthropic-beta", "anthropic-version", "content-type", "idempotency-key", "last-event-id", "openai-beta",
    "user-agent", "x-conversation-id",
})  # fmt: skip


@dataclass(frozen=True)
class Upstream:
    """One entry: what it allows, and the key for it (empty: none)."""

    #: What is told to a user: no path, no key.
    name: str
    origin: tuple[str, str, int]
    #: Of the paths, as they go out.
    paths: re.Pattern[str]
    private: bool
    #: Asking a model is a POST; with another method its key would do more than that.
    methods: tuple[str, ...]
    key: str = field(default="", repr=False)
    key_name: str = "key_file"
    key_header: str = BEARER


class Upstreams:
    """
    What *file* allows; see docs/deploy.md for its form.

    Raises `RelayError` with file and line for what cannot be understood; later what was read before stays good.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp = stamp(file)
        self._known = [upstream for entry in entries(file, "upstream") for upstream in _upstreams(entry)]

    @property
    def keys(self) -> list[str]:
        """Every key, to keep out of what is said."""
        return [one.key for one in self._known if one.key]

    def reload(self, *, asked: bool = False) -> bool:
        """Read the file again if it has changed, or if somebody *asked* (a key's file may have); return whether."""
        now = stamp(self._file)
        if now == self._stamp and not asked:
            return False
        self._stamp = now
        self._known = [upstream for entry in entries(self._file, "upstream") for upstream in _upstreams(entry)]
        return True

    def admit(self, source: Source) -> Source:
        """
        Return *source* with our keys, fenced; raises `RelayError` (403) for an address that is not listed.

        And `SourceRefused` for a call that brings a secret where we have a key, or needs one that we have not.
        """
        if isinstance(source, Team):
            if len(source.agents) > AGENTS:
                raise SourceRefused(f"a team has at most {AGENTS} agents in this relay")
            return source.of_agents({name: self._admit_one(one) for name, one in source.agents.items()})
        return self._admit_one(source)

    def _admit_one(self, source: S) -> S | SSESource:
        if not isinstance(source, SSESource):
            return source  # a place in a team: it calls nobody
        return SSESource(self._admitted(source.call), source.format)

    def _admitted(self, call: Call) -> Call:
        found, host = self._find(call), _host(call.url)
        if found is None:
            names = list(dict.fromkeys(one.name for one in self._known))
            where = f"{call.method} at this address of {host}" if host in names else host
            advice = ": name a model of those with --model, or NBSTREAM_MODEL" if host == "demo:" else ""
            raise RelayError(f"this relay does not call {where}; it calls {', '.join(names)}{advice}", status=403)
        ours = sorted(name for name, _ in call.headers if name.lower() in _OURS)
        if ours:
            raise SourceRefused(f"header {ours[0]!r} is not for a user of this relay to set")
        fenced = replace(call, fence=Fence(private=found.private))
        if found.key:
            more = sorted(name for name, _ in call.headers if name.lower() not in _PASSED)
            if call.has_key or any(map(is_secret_name, more)) or secrets_of_url(call.url):
                raise SourceRefused(f"this relay has its own key for {found.name}: send none, nor other secret headers")
            if more:
                those = ", ".join(sorted(_PASSED))
                raise SourceRefused(f"header {more[0]!r} does not go to {found.name} with this relay's key: {those} do")
            asked = call.key.sent_as if call.key is not None else ""
            sent_as = asked if asked in _WAYS else found.key_header
            return replace(fenced, key=Key(found.key_name, sent_as)).with_key(found.key)
        if call.key is not None and not call.has_key:
            raise SourceRefused(f"this relay has no key for {found.name}: its administrator can add one")
        return fenced

    def _find(self, call: Call) -> Upstream | None:
        try:
            origin, path = _parts(call.url)
        except ValueError:
            return None
        for one in self._known:
            if one.origin == origin and call.method in one.methods and one.paths.fullmatch(path):
                return one
        return None


def _upstreams(entry: Entry) -> list[Upstream]:
    entry.only(_FIELDS)
    provider, url = entry.text("provider"), entry.text("url")
    if (provider is None) == (url is None):
        raise entry.wrong("an upstream has either provider or url")
    private = entry.fields.get("private", False)
    if not isinstance(private, bool):
        raise entry.wrong("private must be true or false")
    key, key_name = _key(entry)
    header = entry.text("key_header")
    asked = _of_provider(entry, provider) if provider is not None else [(str(url), BEARER)]
    found = []
    for address, usual in asked:
        try:
            check_url(address)
            origin, path = _parts(address)
        except ValueError:
            why = "not an http:// or https:// address without user, '..', ';' and the like"
            raise entry.wrong(f"{why}: {_shown(address)!r}") from None
        name = _host(address)
        pattern = (
            re.escape(path).replace(re.escape(_MODEL), "[^/:]+") if provider is not None
            else re.escape(path.rstrip("/")) + "(/.*)?"
        )  # fmt: skip
        if origin[0] == "own":
            pattern = ".*"
        methods = ("POST",) if provider is not None else ("GET", "POST")
        allowed = private or _is_private(origin[1])
        found.append(Upstream(name, origin, re.compile(pattern), allowed, methods, key, key_name, header or usual))
    return found


def _of_provider(entry: Entry, name: str) -> list[tuple[str, str]]:
    """Return the addresses under which `chat()` asks a provider, each with the header of its key."""
    from nbstream.sources.models.chat import chat

    if name not in PROVIDERS:
        raise entry.wrong(f"unknown provider {_shown(name)!r}; use {', '.join(PROVIDERS)}, or url")
    if name in ("demo", "local"):
        return [(PROVIDERS[name].base, BEARER)]
    found = []
    for api in (PROVIDERS[name].api or CHAT, *_MORE.get(name, ())):
        try:
            source: Any = chat("x", f"{name}:{_MODEL}", api=api)
        except ValueError as exc:  # the variable that moves it says no address
            raise entry.wrong(str(exc)) from None
        found.append((source.call.url, APIS[api].key))
    return found


def _key(entry: Entry) -> tuple[str, str]:
    """Return the key of an entry and the name it goes by; empty where it has none."""
    env, file = entry.text("key_env"), entry.text("key_file")
    if env is not None and file is not None:
        raise entry.wrong("give key_env or key_file, not both")
    if holds_key(env or file or ""):
        raise entry.wrong("key_env and key_file name where the key is; this looks like the key itself")
    if env is not None:
        if not env.isidentifier():
            raise entry.wrong("key_env takes the name of a variable in the relay's environment, such as OPENAI_API_KEY")
        key, where = os.environ.get(env, "").strip(), f"the variable {env} of the relay's environment"
    elif file is not None:
        try:
            key, where = Path(file).read_text("utf-8").strip(), file
        except (OSError, UnicodeDecodeError) as exc:
            raise entry.wrong(f"{file} cannot be read ({getattr(exc, 'strerror', None) or 'no text'})") from None
    else:
        return "", "key_file"
    if not key:
        raise entry.wrong(f"{where} holds no key")
    return key, env or "key_file"


def _parts(url: str) -> tuple[tuple[str, str, int], str]:
    """Return where a request for *url* goes, as httpx reads it; `ValueError` for one that can be read twice."""
    import httpx

    for own in OWN:
        if url.startswith(own):
            return ("own", own, 0), url.removeprefix(own)
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        raise ValueError from None
    path = parts.raw_path.decode("ascii").partition("?")[0]
    if parts.userinfo or parts.scheme not in ("http", "https") or not parts.host or not _is_plain(path):
        raise ValueError
    return (parts.scheme, parts.host, parts.port or (443 if parts.scheme == "https" else 80)), path


def _is_plain(path: str) -> bool:
    """Whether every server reads *path* alike: none takes a step of it for a way up, out of what is allowed."""
    try:
        text = unicodedata.normalize("NFKC", unquote(path, errors="strict"))
    except UnicodeDecodeError:
        return False
    # Some decode twice, or take ";x" for a parameter of the step, or strip blanks from its end.
    if "%" in text or ";" in text or not text.isprintable():
        return False
    return not any(step and not step.strip(" .") for step in text.replace("\\", "/").split("/"))


def _shown(address: str) -> str:
    """Return what may be told of something that is no address: nothing that may be a password in one."""
    _, at, rest = address.rpartition("@")
    rest = rest.partition("?")[0]
    return f"{HIDDEN}@{rest}" if at else rest


def _host(url: str) -> str:
    """Return what may be told of an address: its host."""
    own = next((own for own in OWN if url.startswith(own)), None)
    if own is not None:
        return own
    try:
        (_, host, port), _ = _parts(url)
    except ValueError:
        return "this address"
    return host if port in (80, 443) else f"{host}:{port}"


def _is_private(host: str) -> bool:
    """Whether an entry names a private address itself, and so allows it."""
    if host in (*OWN, "localhost"):
        return True
    try:
        return not is_public(host)
    except ValueError:
        return False  # a name: what it resolves to is looked at when it is called
