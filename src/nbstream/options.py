"""What a user can set: `%config NbStream.<name>`, or `NBSTREAM_<NAME>` in the environment."""

from __future__ import annotations

import os
import re
from typing import Any

from traitlets import Bool, Enum, Float, TraitError, Unicode
from traitlets.config import SingletonConfigurable


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
