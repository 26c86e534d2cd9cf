"""File names of --image: one small language of patterns, the same in Python and C++.

A path that exists is taken literally. In any other pattern `*` stands for any characters,
`?` for one, `[a-c]` for one of a set and `[!a-c]` or `[^a-c]` for one outside of it; none
of them for `/`. A `]` that comes first in a set belongs to it, and a `[` that no `]` closes
is itself. Names that begin with a dot are found by patterns that do. There is nothing else:
no `**`, no braces, no escapes, no classes of characters. What a pattern finds is spelled as
the pattern spells it. A byte that is no UTF-8 is one character. Mirrored by `names.cpp`.
"""

import os
import re
from collections.abc import Iterator

_SET = re.compile(r"\[(?:([!^])|(?![!^]))(\][^\]]*|[^\]]+)\]", re.S)
_RANGE = re.compile(r"(.)-(.)|(.)", re.S)
_PART = 1024  # names decoded at once


def expand(pattern: str) -> Iterator[str]:
    """Yield the files that a pattern of --image names, sorted by bytes; nothing if none does."""
    if os.path.lexists(pattern):
        yield pattern
    else:
        yield from _found("", pattern)


def _found(known: str, rest: str) -> Iterator[str]:
    """Yield each path that exists, begins with `known` and goes on as the pattern `rest`."""
    bare = rest.lstrip("/")
    known += rest[: len(rest) - len(bare)]
    name, slash, _ = bare.partition("/")
    after = bare[len(name) :]
    if not slash and not re.search(r"[*?[]", name):
        if os.path.lexists(known + name):
            yield known + name
        return
    if not re.search(r"[*?[]", name):
        yield from _found(known + name, after)
        return
    for entry in filter(_matcher(name).fullmatch, _entries(known or ".", slash)):
        yield from _found(known + entry, after) if slash else (known + entry,)


def _entries(folder: str, slash: str) -> Iterator[str]:
    """Yield the names in a folder, sorted by the bytes of the paths that go on with `slash`.

    They are held as bytes, a third of what paths take: a folder may have hundreds of thousands.
    """
    try:
        names = os.listdir(os.fsencode(folder))
    except OSError:
        return  # no folder, or none that may be read: nothing there is found
    names.sort(key=(lambda name: name + b"/") if slash else None)
    for at in range(0, len(names), _PART):
        # No name holds a zero byte, and many are decoded together in the time of a few.
        yield from os.fsdecode(b"\0".join(names[at : at + _PART])).split("\0")


def _matcher(name: str) -> "re.Pattern[str]":
    """Return what matches the names that the pattern `name` means."""
    parts, at = [r"(?!\.)" if name[0] != "." else ""], 0  # what stands between the `*`
    while at < len(name):
        letter, found = name[at], _SET.match(name, at)
        at = found.end() if found else at + 1
        if found:
            parts[-1] += _set(found[1], found[2])
        elif letter == "*":
            parts.append("")
        else:
            parts[-1] += "." if letter == "?" else re.escape(letter)
    if len(parts) == 1:
        return re.compile(parts[0], re.S)
    first, *middle, last = parts
    # A look ahead is not taken back once it holds: many `*` take little longer than one.
    once = "".join(f"(?=(?P<_{i}>.*?{part}))(?P=_{i})" for i, part in enumerate(middle))
    return re.compile(f"{first}{once}.*{last}", re.S)


def _set(negated: str | None, members: str) -> str:
    """Return a set as a regular expression; a range that runs backwards is empty."""
    parts = []
    for first, last, alone in _RANGE.findall(members):
        if alone or first <= last:
            parts.append(f"{re.escape(alone or first)}{'-' + re.escape(last) if last else ''}")
    if parts:
        return f"[{'^' if negated else ''}{''.join(parts)}]"
    return "." if negated else r"(?!)"
