"""What a user can set: `%config NbStream.<name>`, or `NBSTREAM_<NAME>` in the environment."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from traitlets import Bool, Enum, Float, TraitError, Unicode
from traitlets.config import SingletonConfigurable

from nbstream.errors import RelayError

#: The token of the relay in `relay`. No option: `%config NbStream` prints those.
TOKEN = "NBSTREAM_RELAY_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE = "NBSTREAM_RELAY_TOKEN_FILE"  # noqa: S105


class _Shown(str):
    """An address that shows no password, also where `%config NbStream` prints it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(re.sub(r"//.*@|\bpassword=[^&]*", _masked, self))


def _masked(found: re.Match[str]) -> str:
    return "//***@" if found[0].startswith("//") else "password=***"


class _Address(Unicode[str, str]):
    def validate(self, obj: Any, value: Any) -> str:
        return _Shown(super().validate(obj, value))


class NbStream(SingletonConfigurable):
    """Options of nbstream."""

    model = Unicode(
        "demo:", help="The model when %%stream names none: PROVIDER:NAME; `%stream models` lists them."
    ).tag(config=True)
    base_url = Unicode("", help="An OpenAI-compatible server's address; empty: the provider's own.").tag(config=True)
    system = Unicode("", help="System prompt when %%stream gives none.").tag(config=True)
    rerun = Enum(
        ("saved", "new"),
        default_value="saved",
        help="First run of a cell whose answer is complete: show the saved one, or ask anew.",
    ).tag(config=True)
    wait = Bool(default_value=False, help="Let every %%stream cell wait for its answer.").tag(config=True)
    first_s = Float(120.0, min=0, help="Seconds without any output until a stream is stalled.").tag(config=True)
    idle_s = Float(60.0, min=0, help="Seconds without new output until a stream is stalled.").tag(config=True)
    host = Enum(
        ("auto", "kernel", "relay"),
        default_value="auto",
        help="Where the recorder runs: auto is the relay for addresses and models, the kernel for Python objects.",
    ).tag(config=True)
    linger_s = Float(
        600.0, min=0, help="Seconds a stream goes on while no page shows it; 0 ends it with its last page."
    ).tag(config=True)
    auto_continue = Bool(
        default_value=False,
        help="Let a new generation go on, without being asked, behind a message that was cut and cannot be resumed.",
    ).tag(config=True)
    memory_mb = Float(
        0.0, min=0, help="Warn when the kernel uses more memory than so many MB; 0: never, most of it is your own data."
    ).tag(config=True)
    store = _Address(
        "", help="Where streams are saved: empty for the user's cache, a directory, memory:, or a Redis (redis://...)."
    ).tag(config=True)

    relay = Unicode(
        "", help="A relay that serves many, https://HOST:PORT, with a token of it in NBSTREAM_RELAY_TOKEN(_FILE)."
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name, trait in self.traits(config=True).items():
            value = os.environ.get(f"NBSTREAM_{name.upper()}")
            if value is not None:
                try:
                    setattr(self, name, trait.from_string(value))
                except (TraitError, ValueError):
                    msg = f"NBSTREAM_{name.upper()}={value!r} in the environment: {_wanted(trait)}"
                    raise ValueError(msg) from None


def _wanted(trait: Any) -> str:
    """Return what *trait* takes; the errors of traitlets speak of traits and instances."""
    if isinstance(trait, Enum):
        return f"use {' or '.join(trait.values or ())}"
    return "use true or false" if isinstance(trait, Bool) else "use a number of seconds from 0 on"


def options() -> NbStream:
    """Return this process's options."""
    instance: NbStream = NbStream.instance()
    return instance


def relay_token() -> str:
    """Return the token of the relay that is to be used; raises `RelayError` without one."""
    token, file = os.environ.get(TOKEN, "").strip(), os.environ.get(TOKEN_FILE, "")
    if not token and file:
        try:
            token = Path(file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "no text"
            raise RelayError(f"{TOKEN_FILE}={file} cannot be read ({why})") from exc
    if not token:
        raise RelayError(f"the relay at {options().relay} wants a token: set {TOKEN}, or {TOKEN_FILE} to its file")
    return token


def token_variable() -> str:
    """Return the name of the variable by which the token was given."""
    return TOKEN if os.environ.get(TOKEN, "").strip() else TOKEN_FILE


def relay_user() -> str | None:
    """Return who this is in the relay that is to be used: the name in his token. None where no relay is named."""
    if not options().relay:
        return None
    try:
        return relay_token().rpartition(".")[0] or None
    except RelayError:
        return None  # it is told when the relay is needed
