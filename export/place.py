"""Places in somebody's code: found in live calls, in tracebacks and in torch's texts."""

import inspect
import linecache
import re
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from types import FrameType
from typing import Any

from torch import nn

from torchcrate.model.calling import call
from torchcrate.model.targets import is_installed, short

_ROOT = Path(__file__).parents[1]
_ROOMS = ("model", "export", "verify", "release", "fleet", "bench", "src", "commands")
_TOOLS = {  # whose own lines tell nobody what to change
    *("python", "torch", "onnx", "onnxruntime", "onnxscript", "onnx_ir", "numpy"),
    *("click", "_pytest", "pluggy", "msgspec"),
}
_LINE = re.compile(r'File "(?P<file>[^"\n]+)", line (?P<line>\d+)')


@dataclass(frozen=True)
class Place:
    """A line of source code."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{short(self.file)}:{self.line}"

    @property
    def code(self) -> str:
        """The line as it is written, without indentation; "" if it cannot be read."""
        return linecache.getline(self.file, self.line).strip()

    def words(self) -> str:
        """Return the place with what is written there: `net.py:24 (if x.sum() > 0:)`."""
        return f"{self} ({self.code})" if self.code else str(self)


def in_text(text: str) -> Place | None:
    """Return the first place of somebody's code that a text of torch names."""
    return _first(Place(found["file"], int(found["line"])) for found in _LINE.finditer(text))


def in_stack(text: str) -> Place | None:
    """Return the innermost place of somebody's code in a stack, printed outermost first."""
    places = [Place(found["file"], int(found["line"])) for found in _LINE.finditer(text)]
    return _first(reversed(places))


def in_traceback(error: BaseException) -> Place | None:
    """Return the innermost place of somebody's code that an exception passed."""
    frames = traceback.extract_tb(error.__traceback__)
    return _first(Place(frame.filename, frame.lineno or 0) for frame in reversed(frames))


def here() -> Place | None:
    """Return the innermost place of somebody's network that is running now, called by `call`."""
    places = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not call.__code__:
        places.append(Place(frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return _first(places)


def of_forward(module: nn.Module) -> Place | None:
    """Return where the `forward` of a module is written, or else its class; None if torch did."""
    forward = inspect.unwrap(getattr(type(module), "forward", type(module)))
    code = getattr(forward, "__code__", None)
    written = _first([Place(code.co_filename, code.co_firstlineno)]) if code else None
    return written or of_class(module)


def of_class(module: nn.Module) -> Place | None:
    """Return where the class of a module begins; None for torch's own."""
    try:
        file, line = inspect.getsourcefile(type(module)), inspect.getsourcelines(type(module))[1]
    except (OSError, TypeError):  # made while the program runs
        return None
    return _first([Place(file or "", line)])


def part_of(module: nn.Module, path: str, place: object = "") -> str:
    """Return a part of a network, its class, and a place: `body.1 (Branch) at net.py:24`."""
    name, kind = path or "the network", type(module_at(module, path)).__name__
    return f"{name} ({kind}){f' at {place}' if place else ''}"


def module_at(module: nn.Module, path: str) -> Any:
    """Return the part at a path, "" for all; what is compiled has no `get_submodule`."""
    return reduce(getattr, filter(None, path.split(".")), module)


def _first(places: Iterable[Place]) -> Place | None:
    """Return the first place in the user's own code, else in a package of networks."""
    kept = [place for place in places if place.file.endswith(".py") and not _ours(place.file)]
    own = [place for place in kept if not is_installed(place.file)]
    theirs = [place for place in kept if _package(place.file) not in _TOOLS]
    return next(iter([*own, *theirs]), None)


def _package(file: str) -> str:
    """Return the name of the installed package that holds a file; Python itself is a tool."""
    parts = Path(file).parts
    place = next((n for n, part in enumerate(parts) if part.endswith("-packages")), None)
    return "python" if place is None else parts[place + 1]


def _ours(file: str) -> bool:
    """Return whether a file is of this library, but for the network that comes with it."""
    path = Path(file)
    if path.parent == _ROOT / "model" and path.name in ("net.py", "preprocess.py"):
        return False
    return any(_ROOT / room in path.parents for room in _ROOMS)
