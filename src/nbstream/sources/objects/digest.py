"""
What a factory asks, as a digest: its code, and the values its code reads.

Equal in the next kernel for the same question (no address, no line number, no order of hashes), and never equal for
another one. Where that cannot be promised there is no digest.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import sys
import types
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["digest_of"]

#: A whole conversation fits in; what is larger would hold the cell up on every run.
MAX_CHARS = 4 * 2**20
MAX_VALUES = 100_000
MAX_DEPTH = 60

NOTEBOOK = "__main__"

_SIMPLE = frozenset({str, bytes, int, float, complex, bool, type(None), type(Ellipsis)})
#: What may lead back to itself. Others are not remembered: whether two equal tuples are one is up to the compiler.
_CIRCULAR = frozenset({list, dict, set, types.FunctionType, type})
#: Exactly these types, since a subclass may mean anything, and what they are made of.
_PARTS: dict[type, Callable[[Any], Iterable[Any]]] = {
    list: list,
    tuple: list,
    dict: lambda value: [part for pair in list(value.items()) for part in pair],
    range: lambda value: (value.start, value.stop, value.step),
    slice: lambda value: (value.start, value.stop, value.step),
    functools.partial: lambda value: (value.func, value.args, value.keywords),
    staticmethod: lambda value: (value.__func__,),
    classmethod: lambda value: (value.__func__,),
    property: lambda value: (value.fget, value.fset, value.fdel),
    types.MethodType: lambda value: (value.__func__, value.__self__),
    types.CodeType: lambda value: (value.co_code, value.co_names, value.co_consts),
}


def digest_of(factory: Callable[..., Any]) -> str | None:
    """
    Return a digest of what *factory* does: every lambda of a notebook has the same name.

    Functions and classes of the notebook count by their code, down to what they call, and data by its value. What is
    imported counts by name. None if something in reach is none of these: an object holds who knows what.
    """
    digest = _Digest()
    try:
        digest.add(factory)
    except _Undigestible:
        return None
    return digest.hexdigest()


class _Undigestible(Exception):
    """Met something that cannot be told from its like."""


class _Digest:
    """Takes values one after the other, each with its type and length so that none runs into the next."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._chars, self._values, self._depth = MAX_CHARS, MAX_VALUES, 0
        # id -> order and the value itself: as long as it is held, no other value has its id.
        self._met: dict[int, tuple[int, Any]] = {}

    def hexdigest(self) -> str:
        return self._hash.hexdigest()[:16]

    def add(self, value: Any) -> None:
        self._values -= 1
        self._depth += 1
        if self._values < 0 or self._depth > MAX_DEPTH:
            raise _Undigestible
        if type(value) in _SIMPLE:
            self._simple(value)
        elif id(value) in self._met:
            self._say(f"met {self._met[id(value)][0]}")
        else:
            if type(value) in _CIRCULAR:
                self._met[id(value)] = len(self._met), value
            self._compound(value)
        self._depth -= 1

    def _say(self, text: str) -> None:
        self._chars -= len(text)
        if self._chars < 0:
            raise _Undigestible
        self._hash.update(f"{len(text)} {text}\n".encode())

    def _all(self, kind: str, values: Iterable[Any]) -> None:
        values = list(values)
        self._say(f"{kind} {len(values)}")
        for one in values:
            self.add(one)

    def _simple(self, value: Any) -> None:
        if isinstance(value, (str, bytes)) and len(value) > self._chars:
            raise _Undigestible  # before it is copied
        # repr() refuses long integers, and escapes what UTF-8 cannot say.
        self._say(f"int {value:x}" if type(value) is int else repr(value))

    def _compound(self, value: Any) -> None:
        kind = type(value)  # not isinstance(): a proxy pretends to be what it stands for
        if kind in _PARTS:
            self._all(kind.__name__, _PARTS[kind](value))
        elif kind in {set, frozenset}:
            self._set(value)
        elif kind is types.FunctionType:
            self._function(value)
        elif issubclass(kind, type):
            self._class(value)
        elif issubclass(kind, types.ModuleType):
            self._say(f"module {value.__name__}")
        elif kind in {types.MethodDescriptorType, types.WrapperDescriptorType}:
            self._say(f"method {value.__qualname__}")
        elif kind is types.BuiltinFunctionType and isinstance(value.__self__, (types.ModuleType, type, type(None))):
            self._say(f"builtin {value.__module__}.{value.__qualname__}")
        else:
            raise _Undigestible

    def _set(self, values: Any) -> None:
        digests = []
        for one in values:
            # Each with a digest of its own, since their order is not ours; what they may spend is one purse.
            member = _Digest()
            member._chars, member._values, member._depth = self._chars, self._values, self._depth
            member.add(one)
            self._chars, self._values = member._chars, member._values
            digests.append(member.hexdigest())
        self._all("set", sorted(digests))

    def _function(self, function: types.FunctionType) -> None:
        self._say(f"function {function.__module__}.{function.__qualname__}")
        self.add(function.__code__)
        at_home = function.__globals__.get("__name__") == NOTEBOOK
        if not at_home and _importable(function):
            return
        self._all("defaults", (function.__defaults__, function.__kwdefaults__))
        for cell in function.__closure__ or ():
            try:
                held = cell.cell_contents
            except ValueError:  # nothing is assigned yet
                self._say("an empty cell")
            else:
                self.add(held)
        if at_home:
            for name in sorted(set(_globals_read(function.__code__)) & function.__globals__.keys()):
                self._say(f"global {name}")
                self.add(function.__globals__[name])

    def _class(self, cls: type) -> None:
        self._say(f"class {cls.__module__}.{cls.__qualname__}")
        if cls.__module__ == NOTEBOOK:
            # Of the names with underscores only methods: the rest is bookkeeping, line numbers among it.
            members = {
                name: member for name, member in vars(cls).items() if _is_own(name) or inspect.isfunction(member)
            }
            self._all("bases", cls.__bases__)
            self.add(members)


def _is_own(name: str) -> bool:
    return not (name.startswith("__") and name.endswith("__"))


def _importable(function: types.FunctionType) -> bool:
    """Say whether its name leads to *function*: then all it closes over was made by importing its module."""
    found: Any = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function


def _globals_read(code: types.CodeType) -> Iterator[str]:
    """
    Yield the globals that *code* and the code inside it read.

    Not `co_names`, where attributes stand too: `item.text` has nothing to do with a global `text`.
    """
    for instruction in dis.get_instructions(code):
        if instruction.opname.startswith("LOAD_") and instruction.opname.endswith(("_GLOBAL", "_NAME", "_GLOBALS")):
            yield instruction.argval
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _globals_read(inner)
