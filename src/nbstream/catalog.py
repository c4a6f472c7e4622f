"""What `chat` can ask: providers and keys, servers of this machine, packages, formats. For `%stream models`."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nbstream import words
from nbstream.options import options
from nbstream.runtime import runtime
from nbstream.sources.models.local import advice, missing
from nbstream.sources.models.providers import PROVIDERS
from nbstream.sources.models.registered import package_of, registered
from nbstream.sources.redaction import safe_url

if TYPE_CHECKING:
    from nbstream.sources.models.providers import Provider

#: How long a server of this machine has to say what it serves, and how much it may say.
PROBE_S = 1.0
PROBE_BYTES = 1024 * 1024
#: Models of a server that are named.
NAMED = 6

#: API -> where it lists its models: path, field of the list, field of a name.
_LISTS = {"ollama.chat": ("/api/tags", "models", "name"), "llamacpp": ("/models", "data", "id")}


def lines() -> list[str]:
    """Return all of it, one line each. Keys are named by their variable; only servers of this machine are asked."""
    wrong = {name: said for name, one in PROVIDERS.items() if (said := _wrong(one))}
    local = {
        name: one
        for name, one in PROVIDERS.items()
        if name not in wrong and not one.keys and one.address.startswith("http")
    }
    found = {**runtime().submit(_ask_all(local)).result(), **wrong}
    out = []
    for name, one in PROVIDERS.items():
        out.append(_line(f"{name}:", found[name] if name in found else _told(one)))
    out += [_line(f"{name}:", f"from the package {package_of(one)}") for name, one in registered().items()]
    base_url = options().base_url
    asked = f", asked at {safe_url(base_url)}" if base_url else ""
    from nbstream.sources.formats.registry import READERS

    return [
        *out,
        _line("default", f"{options().model}{asked} (%config NbStream.model)"),
        _line("any other", "--base-url ADDRESS --model NAME: a server that speaks as OpenAI does"),
        _line("formats", ", ".join(READERS)),
    ]


def _line(head: str, told: str) -> str:
    return words.plain(f"{head:12}{told}")


def _wrong(provider: Provider) -> str:
    """Return what is wrong with the address that the environment gives it; empty for nothing."""
    try:
        provider.address  # noqa: B018 - it is the asking that fails
    except ValueError as exc:
        return str(exc)
    return ""


def _told(provider: Provider) -> str:
    if provider.models:
        return ", ".join(f"{name} ({advice(name) if missing(name) else 'installed'})" for name in provider.models)
    return _key_of(provider) if provider.keys else "embedded: no key, no network"


def _key_of(provider: Provider) -> str:
    set_now = [name for name in provider.keys if os.environ.get(name, "").strip()]
    told = f"{set_now[0]} is set" if set_now else f"{' or '.join(provider.keys)} is not set"
    return told if provider.address == provider.base else f"{told}; asked at {safe_url(provider.address)}"


async def _ask_all(local: dict[str, Provider]) -> dict[str, str]:
    told = await asyncio.gather(*(_served(one) for one in local.values()))
    return dict(zip(local, told, strict=True))


async def _served(provider: Provider) -> str:
    """Return what the server says that it serves."""
    from nbstream.sources.http.fence import is_loopback

    address = provider.address.rstrip("/")
    shown = safe_url(address)
    if not is_loopback(urlsplit(address).hostname or ""):
        return f"{shown} (on another machine: not asked)"
    path, listed, named = _LISTS[provider.api]
    try:
        status, answer = await asyncio.wait_for(_get(address + path), PROBE_S)
    except Exception:  # noqa: BLE001 - whatever is in the way, nothing there can be used
        return f"nothing answers at {shown}"
    if status == 503:
        return f"{shown} is loading its model"
    entries = answer.get(listed) if isinstance(answer, dict) else None
    if status != 200 or not isinstance(entries, list):
        return f"something else answers at {shown}"
    names = [str(one[named]) for one in entries if isinstance(one, dict) and named in one]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{shown} serves {', '.join(names[:NAMED]) or 'no model yet'}{more}"


async def _get(url: str) -> tuple[int, Any]:
    import httpx

    from nbstream.sources.http.answer import tls

    body = bytearray()
    # No proxy and no redirect: nobody else is asked.
    async with (
        httpx.AsyncClient(trust_env=False, timeout=PROBE_S, verify=await asyncio.to_thread(tls)) as client,
        client.stream("GET", url) as response,
    ):
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > PROBE_BYTES:
                return response.status_code, None
    try:
        return response.status_code, json.loads(body)
    except ValueError:
        return response.status_code, None
