"""Who serves models: one table of providers, and one of the APIs that they speak."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from nbstream.sources.http.call import DEMO, LOCAL, check_url
from nbstream.sources.http.key import BEARER
from nbstream.sources.models.anthropic import messages_api
from nbstream.sources.models.gemini import generate_content
from nbstream.sources.models.local import MODELS
from nbstream.sources.models.messages import Message, Request
from nbstream.sources.models.ollama import base_of, chat_api
from nbstream.sources.models.openai import chat_completions, responses

CHAT = "openai.chat"


class API(NamedTuple):
    """A way to ask, by the name of the format it answers in."""

    #: (model, messages, parameters) -> the request.
    ask: Callable[[str, Sequence[Message], Mapping[str, Any]], Request]
    #: See `Key.sent_as`.
    key: str = BEARER


APIS: dict[str, API] = {
    CHAT: API(chat_completions),
    "openai.responses": API(responses),
    "anthropic.messages": API(messages_api, "x-api-key"),
    "gemini.generate": API(generate_content, "x-goog-api-key"),
    "ollama.chat": API(chat_api),
    # Asked as chat completions; what it answers can be read again, see `nbstream.sources.formats.llamacpp`.
    "llamacpp": API(chat_completions),
}


class Provider(NamedTuple):
    """Where the models of one name live; `{model}` in the address stands for the model's name."""

    base: str
    api: str = CHAT
    #: Variables that hold the key; the first one that is set counts.
    keys: tuple[str, ...] = ()
    #: Variable that moves the address, as the provider's own client has it.
    base_env: str = ""
    #: Its name tells the API also where `base_url` says another address. Others may begin a model's own name there.
    moves: bool = True
    #: One server, one model: it needs no name.
    nameless: bool = False
    #: All its models, where those are known.
    models: tuple[str, ...] = ()
    #: Fields of the body that it refuses.
    without: frozenset[str] = frozenset()
    #: Parameters that it has under another name, at its own address.
    names: Mapping[str, str] = {}

    @property
    def address(self) -> str:
        """Where it is asked now; raises `ValueError` with one line if its variable says no address."""
        moved = os.environ.get(self.base_env, "").strip() if self.base_env else ""
        if not moved:
            return self.base
        if self.base_env == "OLLAMA_HOST":
            return base_of(moved)
        try:
            check_url(moved)
        except ValueError as exc:
            raise ValueError(f"{self.base_env} is {exc}") from None
        return moved

    @property
    def key_env(self) -> str | None:
        """The variable that holds the key now, or that should; None if none is needed."""
        return next((name for name in self.keys if os.environ.get(name, "").strip()), (*self.keys, None)[0])


PROVIDERS: dict[str, Provider] = {
    "demo": Provider(f"{DEMO}/v1", moves=False, nameless=True),
    # Its newer models refuse the older name, all of them know the newer one; servers like it often only the older.
    "openai": Provider(
        "https://api.openai.com/v1", keys=("OPENAI_API_KEY",), base_env="OPENAI_BASE_URL",
        names={"max_tokens": "max_completion_tokens"},
    ),
    "anthropic": Provider(
        "https://api.anthropic.com", "anthropic.messages", ("ANTHROPIC_API_KEY",), "ANTHROPIC_BASE_URL"
    ),
    "gemini": Provider(
        "https://generativelanguage.googleapis.com", "gemini.generate", ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "GOOGLE_GEMINI_BASE_URL",
    ),
    # It refuses fields it does not know, and tells its usage unasked.
    "mistral": Provider(
        "https://api.mistral.ai/v1", keys=("MISTRAL_API_KEY",), moves=False, without=frozenset({"stream_options"})
    ),
    "deepseek": Provider("https://api.deepseek.com/v1", keys=("DEEPSEEK_API_KEY",), moves=False),
    "openrouter": Provider("https://openrouter.ai/api/v1", keys=("OPENROUTER_API_KEY",), moves=False),
    "groq": Provider("https://api.groq.com/openai/v1", keys=("GROQ_API_KEY",), moves=False),
    "ollama": Provider("http://127.0.0.1:11434", "ollama.chat", base_env="OLLAMA_HOST"),
    "llamacpp": Provider("http://127.0.0.1:8080/v1", "llamacpp", nameless=True),
    "local": Provider(f"{LOCAL}/{{model}}/v1", "llamacpp", moves=False, models=tuple(MODELS)),
}  # fmt: skip
#: By what a model's name begins with: where one of that name most likely lives.
FAMILIES = {
    "gpt-": "openai", "chatgpt-": "openai", "o1": "openai", "o3": "openai", "o4": "openai", "claude-": "anthropic",
    "gemini-": "gemini", "mistral-": "mistral", "codestral-": "mistral", "deepseek-": "deepseek",
}  # fmt: skip
