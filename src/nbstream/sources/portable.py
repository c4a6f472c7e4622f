"""A source as another process needs it to make the same call: whole, keys included. Sent to the relay, never stored."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from nbstream.sources.agent import Agent
from nbstream.sources.formats.registry import READERS
from nbstream.sources.http.call import Call
from nbstream.sources.http.key import BEARER, Key
from nbstream.sources.http.sse import SSESource
from nbstream.sources.team import Team, merge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbstream.sources.contract import Source

#: What may stand in the description of an address, and of a model.
_KEY_NAMES = frozenset({"key_env", "key_header", "key"})
_URL_NAMES = _KEY_NAMES | {"url", "method", "json", "content", "content_base64", "headers", "format"}
_MODEL_NAMES = _KEY_NAMES | {"prompt", "messages", "model", "base_url", "api", "system", "params", "headers"}
#: And of a team, whose agents are described as above.
_TEAM_NAMES = frozenset({"agents", "limit", "wait_for", "parents", "fail_fast"})


def pack(source: Source, *, keyless: bool = False) -> dict[str, Any] | None:
    """
    Return the description of *source* that `unpack` reads, with the key as this process has it now.

    None for what only this process can call: a Python object, an endpoint read by the user's own function, a team with
    such an agent. Raises `SourceRefused` when the user's function for the key fails.

    *keyless*: for a machine that is not the user's own. No key is read, and a call with another secret in it (in a
    header, its address, its body) is one that only this process can make.
    """
    if isinstance(source, Team):
        return _pack_team(source, keyless=keyless)
    if not isinstance(source, SSESource) or source.format not in READERS:
        return None
    call = source.call
    if keyless and (any(call.secrets) or call.keyed_body):
        return None
    packed: dict[str, Any] = {"url": call.url, "method": call.method, "format": source.format}
    if call.is_json and call.body is not None:
        packed["json"] = json.loads(call.body)
    elif call.body is not None:
        try:
            packed["content"] = call.body.decode()
        except UnicodeDecodeError:
            packed["content_base64"] = base64.b64encode(call.body).decode()
    if call.headers:
        packed["headers"] = dict(call.headers)
    if call.key is not None:
        packed["key_env"], packed["key_header"] = call.key.env, call.key.sent_as
        if not keyless:
            packed["key"] = call.key.read()
    return packed


def unpack(packed: Mapping[str, Any]) -> SSESource | Team:
    """
    Make the source that *packed* describes; a key is taken from it, never from the environment of this process.

    Raises `ValueError` or `TypeError` with one clear line.
    """
    if not isinstance(packed, dict):
        raise TypeError("source must be an object: with url, or with prompt and model, or with agents")
    return _unpack_team(packed) if "agents" in packed else _unpack_one(packed)


def endpoints_of(source: Source) -> list[SSESource]:
    """Return the endpoints that are called for *source*: one, or one an agent."""
    agents = source.agents.values() if isinstance(source, Team) else (source,)
    return [one for one in agents if isinstance(one, SSESource)]


def with_keys(source: Source, keys: Mapping[str, str]) -> Source:
    """
    Return *source* with the keys that came with a request: each call gets the one its own variable names, and no other.

    One that names a variable without a key here has none: the environment of this process counts for nothing.
    """
    if isinstance(source, Team):
        return source.of_agents({name: with_keys(one, keys) for name, one in source.agents.items()})  # type: ignore[arg-type]
    if not isinstance(source, SSESource) or source.call.key_env is None:
        return source
    return SSESource(source.call.with_key(keys.get(source.call.key_env, "")), source.format)


def _pack_team(team: Team, *, keyless: bool) -> dict[str, Any] | None:
    agents = {name: pack(one, keyless=keyless) for name, one in team.agents.items() if not isinstance(one, Agent)}
    if len(agents) < len(team.agents) or None in agents.values():
        return None
    return {"agents": agents, **team.rules}


def _unpack_team(packed: Mapping[str, Any]) -> Team:
    unknown = sorted(set(packed) - _TEAM_NAMES)
    if unknown:
        raise ValueError(f"source has an unknown field {unknown[0]!r}")
    agents, wait_for, parents = packed["agents"], packed.get("wait_for") or {}, packed.get("parents") or {}
    for name, value in (("agents", agents), ("wait_for", wait_for), ("parents", parents)):
        if not isinstance(value, dict):
            raise TypeError(f"source: {name} must be an object")
    if any(not isinstance(one, dict) or "agents" in one for one in agents.values()):
        raise TypeError("source: each agent must be an object, with url, or with prompt and model")
    if not all(isinstance(names, list) and all(isinstance(one, str) for one in names) for names in wait_for.values()):
        raise TypeError("source: wait_for must name agents in lists")
    return merge(
        {name: _unpack_one(one) for name, one in agents.items()},
        limit=packed.get("limit"), wait_for=wait_for, parents=parents, fail_fast=bool(packed.get("fail_fast")),
    )  # fmt: skip


def _unpack_one(packed: Mapping[str, Any]) -> SSESource:
    for name in (
        "url",
        "method",
        "format",
        "content",
        "content_base64",
        "key_env",
        "key_header",
        "key",
        "model",
        "base_url",
        "api",
        "system",
    ):
        if not isinstance(packed.get(name), (str, type(None))):
            raise TypeError(f"source: {name} must be text")
    for name in ("headers", "params"):
        if not isinstance(packed.get(name), (dict, type(None))):
            raise TypeError(f"source: {name} must be an object")
    model = "url" not in packed
    unknown = sorted(set(packed) - (_MODEL_NAMES if model else _URL_NAMES))
    if unknown:
        raise ValueError(f"source has an unknown field {unknown[0]!r}")
    source = _of_model(packed) if model else _of_url(packed)
    return SSESource(source.call.with_key(packed.get("key") or ""), source.format)


def _of_url(packed: Mapping[str, Any]) -> SSESource:
    name = packed.get("format") or "auto"
    if name not in READERS:
        raise ValueError(f"unknown format {name!r}: use {', '.join(READERS)}")
    content: Any = packed.get("content")
    if "content_base64" in packed:
        content = base64.b64decode(packed["content_base64"], validate=True)
    call = Call.of(
        packed.get("method") or ("GET" if content is None and packed.get("json") is None else "POST"),
        packed["url"],
        json_body=packed.get("json"),
        content=content,
        headers=packed.get("headers"),
        key=_key(packed),
    )
    return SSESource(call, name)


def _key(packed: Mapping[str, Any]) -> Key | None:
    """Return where the key goes: under a name of its own, or (from a function of the user's) without one."""
    if all(packed.get(name) is None for name in _KEY_NAMES):
        return None
    return Key(packed.get("key_env"), packed.get("key_header") or BEARER)


def _of_model(packed: Mapping[str, Any]) -> SSESource:
    from nbstream.sources.models.chat import chat

    prompt = packed.get("messages") or packed.get("prompt")
    if not prompt:
        raise ValueError("source needs a url, or a prompt (or messages) with a model")
    source = chat(
        prompt,
        packed.get("model") or "demo:",
        base_url=packed.get("base_url"),
        api=packed.get("api"),
        system=packed.get("system"),
        api_key_env=packed.get("key_env"),
        headers=packed.get("headers"),
        **(packed.get("params") or {}),
    )
    if not isinstance(source, SSESource):
        raise TypeError(f"model {packed.get('model')!r} is made by Python code, which is not run for a request")
    return source
