"""A prompt and a model's name, as a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from nbstream.sources.contract import Source
from nbstream.sources.http.call import DEMO, Call, check_headers, check_url
from nbstream.sources.http.key import Key
from nbstream.sources.http.sse import SSESource
from nbstream.sources.models.messages import Prompt, messages_of, renamed
from nbstream.sources.models.providers import APIS, CHAT, FAMILIES, PROVIDERS, Provider
from nbstream.sources.models.registered import made_by, registered
from nbstream.sources.redaction import holds_key

#: Arguments of `nbstream.show`: as parameters of a model they would be sent, and do nothing.
_OF_THE_STREAM = frozenset(
    {"host", "auto_continue", "cumulative", "first_s", "idle_s", "linger_s", "key", "fresh", "replay", "save"}
)
#: What the first argument becomes: as parameters they would take its place.
_CONVERSATION = frozenset({"messages", "input", "contents"})

#: A server that only its address names.
_ANY = Provider("")


def chat(
    prompt: Prompt,
    model: str = DEMO,
    *,
    base_url: str | None = None,
    api: str | None = None,
    system: str | None = None,
    api_key_env: str | None = None,
    api_key: Callable[[], str] | None = None,
    headers: Mapping[str, str] | None = None,
    **params: Any,
) -> Source:
    """
    Ask a chat model.

    Args:
        prompt: The user's message, or the whole conversation as a list of messages with role and content, as OpenAI has
            them; they are put into the words of the API that is asked.
        model: PROVIDER:NAME, with `openai:` `anthropic:` `gemini:` `mistral:` `deepseek:` `openrouter:` `groq:`,
            `ollama:` and `llamacpp:` (a server of yours; the latter needs no name), `local:smollm2` (a small model on
            this machine, two packages), `demo:` (embedded, no key, no network), or what an installed package has
            registered. With *base_url* whatever that server calls it.
        base_url: Address of a server, e.g. `http://127.0.0.1:8080/v1`. It is asked as OpenAI's chat completions, or as
            *api* or a prefix `anthropic:`, `gemini:`, `ollama:` of *model* says.
        api: How to ask, if not as the provider is asked by default: `openai.chat`, `openai.responses`,
            `anthropic.messages`, `gemini.generate`, `ollama.chat`, `llamacpp`. With `openai.responses` and
            `background=True` a cut call goes on at OpenAI, which keeps it, and is resumed behind the last record.
        system: System message, put in front.
        api_key_env: Name of the environment variable that holds the key, read when the call is made. By default the
            provider's own (`OPENAI_API_KEY` ...), at *base_url* too where *model* has its prefix, and none without one.
        api_key: A function that returns the key, called for each call. Not the key itself: that would stay in the
            notebook.
        headers: Further headers, sent to this origin only; never stored.
        params: Sent with the request: `temperature`, `max_tokens`, `tools` ... as that API names them (`max_tokens`
            works everywhere, `stop` everywhere but in responses; the demo model knows `seed`, `max_tokens`,
            `tokens_per_s`, `fault`). None removes one of ours, e.g. `stream_options=None`.
    """
    if wrong := sorted(_OF_THE_STREAM & params.keys()):
        raise TypeError(f"chat({wrong[0]}=...): it is about the stream, not the model: give it to show or start")
    if wrong := sorted(_CONVERSATION & params.keys()):
        raise TypeError(f"chat({wrong[0]}=...): the conversation is the first argument")
    named: dict[str, Any] = {"model": model, "base_url": base_url, "system": system, "api_key_env": api_key_env}
    for what, value in named.items():
        if not isinstance(value, str) and (value is not None or what == "model"):
            raise TypeError(f"{what}= must be text, not {type(value).__name__}")
    check_headers(headers)
    _check_key(api_key, api_key_env)
    messages = messages_of(prompt, system)
    prefix, colon, rest = model.partition(":")
    if base_url is None and colon and prefix not in PROVIDERS and (entry := registered().get(prefix)) is not None:
        given = {"api": api, "api_key_env": api_key_env, "api_key": api_key, "headers": headers}
        return made_by(entry, rest, messages, {**{key: one for key, one in given.items() if one is not None}, **params})
    provider, name = _resolve(model, base_url)
    spoken = api or provider.api
    if spoken not in APIS:
        raise ValueError(f"api={spoken!r}: use {', '.join(APIS)}")
    base = provider.address.replace("{model}", name) if base_url is None else base_url
    # Other servers under its name may know only the usual ones.
    own = base == provider.base and spoken == CHAT
    path, body, fixed = APIS[spoken].ask(name, messages, renamed(params, provider.names) if own else params)
    dropped = provider.without - params.keys()
    body = {key: value for key, value in body.items() if value is not None and key not in dropped}
    key_env = api_key_env or provider.key_env
    key = Key(key_env, APIS[spoken].key, api_key) if key_env or api_key else None
    url = _joined(base, path)
    return SSESource(Call.of("POST", url, json_body=body, headers={**fixed, **(headers or {})}, key=key), spoken)


def _check_key(api_key: Any, api_key_env: str | None) -> None:
    # The name of the variable is stored and told, so it must not be the key itself.
    if api_key_env is not None and (not api_key_env.isidentifier() or holds_key(api_key_env)):
        raise ValueError("api_key_env= takes the name of an environment variable, such as OPENAI_API_KEY, not the key")
    if api_key is not None and not callable(api_key):
        raise TypeError(
            "api_key= takes a function that returns the key, not the key: written into a cell it would stay in the"
            " notebook; or put it into the environment variable that api_key_env= names"
        )


def _resolve(model: str, base_url: str | None) -> tuple[Provider, str]:
    """Return who serves *model*, and the model's name there."""
    prefix, colon, name = model.partition(":")
    known = PROVIDERS.get(prefix) if colon else None
    if base_url is not None:
        check_url(base_url)  # here, so that the error quotes what the user gave
        provider, name = (known, name) if known is not None and known.moves else (_ANY, model)
        if model in {"", DEMO} or not (name or provider.nameless):
            raise ValueError("name the model: model= together with base_url=")
        return provider, name
    if model in {DEMO, DEMO.rstrip(":")}:
        return PROVIDERS["demo"], "demo"
    if known is None or prefix == "demo" or not (name or known.nameless) or name not in (known.models or (name,)):
        others = ", ".join([*(one for one in PROVIDERS if one not in ("demo", "openai")), *registered()])
        meant = next((f"{by}:{model}" for begins, by in FAMILIES.items() if not colon and model.startswith(begins)), "")
        if meant:
            raise ValueError(f"unknown model {model!r}: did you mean {meant}? `%stream models` names the providers")
        raise ValueError(f"unknown model {model!r}: use demo:, openai:NAME (or {others}), or any name with base_url=")
    return known, name


def _joined(base: str, path: str) -> str:
    """Return the address of *path* behind *base*; what the end of *base* has of its beginning already comes once."""
    path, _, query = path.partition("?")
    parts, steps = urlsplit(base), path.strip("/").split("/")
    have = [step for step in parts.path.split("/") if step]
    count = next(n for n in range(len(steps), -1, -1) if have[len(have) - n :] == steps[:n])
    path = "/".join(["", *have, *steps[count:]])
    return urlunsplit(parts._replace(path=path, query="&".join(filter(None, [parts.query, query]))))
