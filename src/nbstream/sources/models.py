"""A prompt and a model's name, as a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from nbstream.sources.http.call import DEMO, Call, check_url
from nbstream.sources.http.sse import SSESource

#: A prompt, or messages with role and content.
Prompt: TypeAlias = "str | Sequence[Mapping[str, Any]]"

KNOWN = "demo:, openai:NAME, or any name together with base_url="

#: Arguments of `nbstream.show`: as parameters of a model they would be sent, and do nothing.
_OF_THE_STREAM = frozenset({"host", "auto_continue", "first_s", "idle_s", "linger_s", "key", "fresh", "replay", "save"})

_PATH = "/chat/completions"
_OPENAI_URL = "https://api.openai.com/v1"
_OPENAI = "openai:"


def chat(
    prompt: Prompt,
    model: str = DEMO,
    *,
    base_url: str | None = None,
    system: str | None = None,
    api_key_env: str | None = None,
    headers: Mapping[str, str] | None = None,
    **params: Any,
) -> SSESource:
    """
    Ask a chat model.

    Args:
        prompt: The user's message, or the whole conversation as a list of messages.
        model: `demo:` (embedded, no key, no network), `openai:NAME`, or with *base_url* whatever that server calls it.
        base_url: Root of a server that speaks OpenAI's format, e.g. `http://127.0.0.1:8080/v1`.
        system: System message, put in front.
        api_key_env: Name of the environment variable that holds the key, read when the call is made. `OPENAI_API_KEY`
            for `openai:`, none for *base_url*.
        headers: Further headers, sent to this origin only; never stored.
        params: Sent with the request: `temperature`, `max_tokens`, `tools` ... (the demo model knows `seed`,
            `max_tokens`, `tokens_per_s`, `fault`). None removes one of ours, e.g. `stream_options=None`.
    """
    if wrong := sorted(_OF_THE_STREAM & params.keys()):
        raise TypeError(f"chat({wrong[0]}=...): it is about the stream, not the model: give it to show or start")
    url, name, key_env = _resolve(model, base_url)
    body = {
        "model": name,
        "messages": _messages(prompt, system),
        "stream": True,
        "stream_options": {"include_usage": True},
        **params,
    }
    body = {key: value for key, value in body.items() if value is not None}
    call = Call.of("POST", url, json_body=body, headers=headers, key_env=api_key_env or key_env)
    return SSESource(call, "openai.chat")


def _resolve(model: str, base_url: str | None) -> tuple[str, str, str | None]:
    """Return URL, the server's name for the model, and the variable that holds the key."""
    name = model.removeprefix(_OPENAI)
    key_env = "OPENAI_API_KEY" if model.startswith(_OPENAI) else None
    if base_url is not None:
        if model in {"", DEMO} or not name:
            raise ValueError("name the model: model= together with base_url=")
        return _endpoint(base_url), name, key_env
    if model in {DEMO, DEMO.rstrip(":")}:
        return f"{DEMO}/v1{_PATH}", "demo", None
    if key_env is None or not name:
        raise ValueError(f"unknown model {model!r}: use {KNOWN}")
    return _endpoint(_OPENAI_URL), name, key_env


def _endpoint(base_url: str) -> str:
    check_url(base_url)  # here, so that the error quotes what the user gave
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(_PATH) else path + _PATH))


def _messages(prompt: Prompt, system: str | None) -> list[Mapping[str, Any]]:
    if isinstance(prompt, str):
        if not prompt.strip():
            raise ValueError("the prompt is empty")
        messages: list[Mapping[str, Any]] = [{"role": "user", "content": prompt}]
    else:
        messages = list(prompt)
        if not messages or not all("role" in one for one in messages):
            raise ValueError("messages must be a list of objects with role and content, and not empty")
    return [{"role": "system", "content": system}, *messages] if system else messages
