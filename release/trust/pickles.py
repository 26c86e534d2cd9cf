"""A pickle judged without running it: by what it names, and by what it does with it.

A pickle is a program. The ones that torch writes need few instructions and fewer names; all
else is refused. The standard `pickletools` reads the instructions; here their stack is followed,
so that a name made of two strings from the memo is known for what it is.
"""

import pickletools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torchcrate.errors import TrustError

LARGEST = 16 * 2**20  # bytes; a thousand tensors need a tenth of one

_STORAGES = frozenset(
    f"torch {kind}Storage"
    for kind in (
        *("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte"),
        *("Bool", "ComplexDouble", "ComplexFloat"),
    )
)
_MAKERS = frozenset({"torch._utils _rebuild_tensor_v2", "collections OrderedDict"})
_LISTS = frozenset(
    f"torch.jit._pickle {name}"
    for name in (
        *("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist"),
        *("restore_type_tag",),
    )
)
_SCRIPTED = re.compile(r"__torch__(\.\w+)* \w+", re.ASCII)  # the archive's own TorchScript classes
_PLAIN = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE"),
        *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("EMPTY_LIST", "LIST", "APPEND", "APPENDS"),
        *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
        *("BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET"),
        *("GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD", "BINPERSID"),
    )
)
_PUTS = frozenset({"BINPUT", "LONG_BINPUT", "MEMOIZE"})
_GETS = frozenset({"BINGET", "LONG_BINGET"})
_MARK = object()


@dataclass(frozen=True)
class Rules:
    """What a pickle may name.

    Attributes:
        makers: "module name" of functions and classes that it may call.
        classes: A pattern for classes that it may make and fill; None for none.
    """

    makers: frozenset[str]
    classes: re.Pattern[str] | None = None

    def allow(self, name: str) -> bool:
        """Return whether a pickle may name this at all."""
        return name in self.makers | _STORAGES or self.scripted(name)

    def scripted(self, name: str) -> bool:
        """Return whether this is a class that it may make and fill."""
        return self.classes is not None and bool(self.classes.fullmatch(name))


STATE_DICT = Rules(_MAKERS)
TORCHSCRIPT = Rules(_MAKERS | _LISTS, _SCRIPTED)


@dataclass(frozen=True)
class _Named:
    """A function or class on the stack."""

    name: str


@dataclass(frozen=True)
class _Made:
    """What a call of `by` returned."""

    by: str


class _RefusedError(Exception):
    """Why a pickle is not one that torch writes."""


def judge(data: bytes, rules: Rules, what: str) -> None:
    """Return if this pickle names and does nothing but what torch's own writer would.

    Args:
        data: The whole pickle.
        rules: What it may name.
        what: The file, for people.

    Raises:
        TrustError: If it names anything else, does anything else, or is damaged.
    """
    try:
        _follow(data, rules)
    except _RefusedError as refused:
        raise TrustError(f"{what} is not a pickle that torch writes: {refused}") from refused


def _follow(data: bytes, rules: Rules) -> None:
    """Go through the instructions with a stack of what is known about each value."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    end = 0
    for name, argument, position in _instructions(data):
        if name not in _PLAIN:
            raise _RefusedError(f"it uses {name}, which torch does not")
        end = position + 1
        if name in _PUTS:
            index = len(memo) if name == "MEMOIZE" else argument
            if index > len(data):  # the unpickler would make room for all numbers below
                raise _RefusedError(f"it remembers something under the number {index}")
            memo[index] = _top(stack)
        elif name in _GETS:
            if argument not in memo:
                raise _RefusedError(f"it recalls the number {argument}, which it never remembered")
            stack.append(memo[argument])
        else:
            taken = _take(stack, name)
            stack += _given(name, argument, taken, rules)
    if end != len(data) or stack:
        raise _RefusedError("bytes follow its end, or it leaves more than one value")


def _given(name: str, argument: Any, taken: list[Any], rules: Rules) -> list[Any]:
    """Return what an instruction puts on the stack, once it may be carried out."""
    if name == "MARK":
        return [_MARK]
    if name in ("GLOBAL", "STACK_GLOBAL"):
        named = argument if name == "GLOBAL" else " ".join(map(_text, taken))
        if not rules.allow(named):
            raise _RefusedError(f"it names {'.'.join(named.split(' '))[:100]!r}")
        return [_Named(named)]
    if name == "REDUCE":
        called = taken[0].name if isinstance(taken[0], _Named) else "a value"
        if called not in rules.makers:
            raise _RefusedError(f"it calls {called}")
        return [_Made(called)]
    if name == "NEWOBJ":
        if not isinstance(taken[0], _Named) or not rules.scripted(taken[0].name):
            raise _RefusedError("it makes an object of a class that is not TorchScript's")
        return [_Made(taken[0].name)]
    if name == "BUILD":
        if not isinstance(taken[0], _Made) or not rules.scripted(taken[0].by):
            raise _RefusedError("it fills an object that is not one of its own")
        return [taken[0]]
    if "UNICODE" in name:
        return [argument]
    if name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS"):
        if isinstance(taken[0], (_Named, str)):
            raise _RefusedError("it changes something that is no collection")
        return [taken[0]]
    return [] if name in ("PROTO", "FRAME", "STOP") else [None]


def _take(stack: list[Any], name: str) -> list[Any]:
    """Take from the stack what an instruction needs, without the mark, the lowest first."""
    needs = _NEEDS[name]
    below = len(needs)
    if pickletools.markobject in needs:
        below = needs.index(pickletools.markobject)
        while stack and stack[-1] is not _MARK:
            stack.pop()
        if not stack:
            raise _RefusedError("it takes more than it made")
        stack.pop()
    taken: list[Any] = []
    for _ in range(below):
        taken.insert(0, _top(stack))
        stack.pop()
    return taken


def _top(stack: list[Any]) -> Any:
    if not stack or stack[-1] is _MARK:
        raise _RefusedError("it takes more than it made")
    return stack[-1]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _RefusedError("it names something by a value that is no string")
    return value


def _instructions(data: bytes) -> Iterator[tuple[str, Any, int]]:
    try:
        for code, argument, position in pickletools.genops(data):
            yield code.name, argument, position or 0
    except Exception as error:  # damaged pickles raise whatever their bytes lead to
        raise _RefusedError("it is damaged or cut short") from error


_NEEDS = {code.name: code.stack_before for code in pickletools.opcodes}
