"""What torch.jit, torch.export and torch.onnx say, made one line for who wrote the network."""

import re
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from torchcrate.export.place import Place, in_stack, in_text, in_traceback
from torchcrate.model.targets import is_installed

LONGEST = 300  # characters of what torch says itself; the rest is shown by `doctor --verbose`

_OPERATOR = re.compile(r"op='([\w.]+)'")
_COLOUR = re.compile(r"\x1b\[\d*m")
_AXES = re.compile(r"Constraints violated \(([^)]+)\)")
_SIZE = re.compile(r"specialized it to be a constant \((\d+)\)")
_CAUSED = re.compile(r"Caused by: .*\((?:\S*?/)?(?P<file>[^/\s]+\.py):(?P<line>\d+) in \w+\)")
_ADDRESS = re.compile(r"( of \w+ object)? at:? 0x[0-9a-f]+")
_FROZEN = re.compile(r"Could not cast attribute '(\w+)' to type \S*RecursiveScriptModule")
_RUNTIME = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")

# What to change; it ends the line that says what is wrong.
_ANOTHER = 'compute it another way, or leave ONNX out with formats=("torchscript",)'
_TENSOR = "keep it a tensor, without item(), int(), float() or tolist()"
_WHERE = "choose with torch.where, or with torch.cond"
_AXIS = "use no size of the input as a plain number, or describe the axis by its number"
_UNUSED = "an input that the network does not use cannot be in the contract"
_REGISTER = "make it an nn.Parameter; put modules into an nn.ModuleList, not into a list"
_OTHERWISE = "compute it another way, or leave the format out"
_ADVICE = (_REGISTER, _ANOTHER, _OTHERWISE, _TENSOR, _WHERE, _AXIS, _UNUSED)


def translated(error: BaseException) -> str:
    """Return in one line what an error of an export means and what to do; "" if not known."""
    chain = list(_causes(error))
    for reader in (
        _loose,
        _no_operator,
        _no_construction,
        _depends,
        _baked,
        _frozen,
        _jit,
        _jit_run,
        _runtime,
        _assertion,
    ):
        if words := reader(chain):
            return words
    return ""


def parted(reason: str) -> tuple[str, str]:
    """Return of a reason what is wrong and what to change, "" if it does not say."""
    if "example's size" in reason:
        return reason, _AXIS
    for advice in _ADVICE:
        if reason.endswith(f": {advice}"):
            return reason.removesuffix(f": {advice}"), advice
    return reason, ""


def first_line(error: BaseException) -> str:
    """Return the line of an error that says most, cut where it is endless."""
    lines = [line for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    line = _ADDRESS.sub("", lines[0]).strip() if lines else ""
    more = len(lines) > 1 or len(line) > LONGEST
    line = f"{line[:LONGEST]}..." if len(line) > LONGEST else line.rstrip(":")
    told = f"{type(error).__name__}{': ' if line else ''}{line}"
    return f"{told} (torchcrate doctor --verbose says more)" if more else told


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, and what it comes from, down to the root."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _named(chain: list[BaseException], *kinds: str) -> BaseException | None:
    """Return the first of these kinds, by name: torch gives them no public place."""
    return next((one for one in chain if type(one).__name__ in kinds), None)


def _at(place: Place | None) -> str:
    return f" at {place.words()}" if place else ""


def _loose(chain: list[BaseException]) -> str:
    if not str(chain[0]).startswith("Cannot insert a Tensor that requires grad as a constant"):
        return ""
    return (
        "a trace cannot hold a tensor that learns and is no parameter of the network"
        f"{_at(in_traceback(chain[0]))}: {_REGISTER}"
    )


def _no_operator(chain: list[BaseException]) -> str:
    error = _named(chain, "DispatchError")
    if error is None:
        return ""
    found = _OPERATOR.search(str(error))
    operator = found[1] if found else "an operator of this network"
    return f"ONNX has no operator for {operator}{_at(_node_place(chain))}: {_ANOTHER}"


def _no_construction(chain: list[BaseException]) -> str:
    error = _named(chain, "GraphConstructionError")
    if error is None:
        return ""
    node = _node(chain)
    operator = str(getattr(node, "target", "an operator")).removesuffix(".default")
    why = first_line(chain[-1])
    return (
        f"ONNX cannot say {operator} as it is called{_at(_node_place(chain))} ({why}): {_ANOTHER}"
    )


def _depends(chain: list[BaseException]) -> str:
    error = _named(chain, "GuardOnDataDependentSymNode")
    if error is None and "data-dependent" not in str(chain[-1]):
        return ""
    text = str(error or chain[-1])
    place = in_traceback(error or chain[-1]) or in_text(text)
    caused = _CAUSED.search(text)
    at = _at(place) or (f" at {caused['file']}:{caused['line']}" if caused else "")
    if "extract specialized" in text:
        return f"a graph cannot hold a number that is taken out of a tensor{at}: {_TENSOR}"
    return f"a graph cannot hold a decision on what a tensor holds{at}: {_WHERE}"


def _baked(chain: list[BaseException]) -> str:
    found = next((found for one in chain if (found := _AXES.search(str(one)))), None)
    if not found:
        return ""
    text = str(chain[-1])
    size = _SIZE.search(text)
    place = in_stack(text)
    return f"{found[1]} is baked in{f' at {size[1]}' if size else ''}{_at(place)}: {_AXIS}"


def _frozen(chain: list[BaseException]) -> str:
    """Read that a module was frozen: torch does not take its type for that of a module."""
    found = _FROZEN.search(str(chain[0]))
    if not found:
        return ""
    part = "the network" if found[1] == "inner" else found[1]
    return (
        f"{part} is frozen TorchScript, which torch puts into no other module: "
        "give it as it was before torch.jit.freeze"
    )


def _jit(chain: list[BaseException]) -> str:
    """Read what the compiler of TorchScript says; it marks the spot with an arrow."""
    error = chain[0]
    text = str(error)
    if type(error).__module__ != "torch.jit.frontend" and "<--- HERE" not in text:
        weak = "cannot create weak reference to" in text
        return (
            "TorchScript cannot compile a function of another package that forward calls "
            f"({text.partition('to ')[2]})"
            if weak
            else ""
        )
    if "interpreter" in text.partition("\n")[0]:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    what = lines[0].rstrip(":").rstrip(".")
    inner = re.search(r"The error stack is reproduced here:\s*\n+(.+)", text)
    if inner:
        what = f"{what.partition(' (')[0]} ({inner[1].strip().rstrip(':')})"
    what = _ADDRESS.sub("", what.partition(" (This ")[0])[:LONGEST]
    return f"TorchScript cannot compile{_at(in_text(text))}: {what}"


def _jit_run(chain: list[BaseException]) -> str:
    """Read what a TorchScript module says when it fails: the last line is the cause."""
    text = str(chain[0])
    if "TorchScript interpreter" not in text:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:LONGEST]


def _runtime(chain: list[BaseException]) -> str:
    text = str(chain[0]).strip()
    if not _RUNTIME.match(text):
        return ""
    return f"ONNX Runtime refuses it: {_RUNTIME.sub('', text).splitlines()[0][:LONGEST]}"


def _assertion(chain: list[BaseException]) -> str:
    """Read an assertion that fails in code that came by pip, and speaks to those who wrote it."""
    error = chain[0]
    frames = traceback.extract_tb(error.__traceback__)
    own = not frames or not is_installed(frames[-1].filename) or frames[-1].name == "_assert"
    if own or not isinstance(error, AssertionError):
        return ""
    said = first_line(error).removeprefix("AssertionError").removeprefix(": ")
    because = f" ({said})" if said else ""
    return f"torch stops at a check of its own{_at(in_traceback(error))}{because}: {_OTHERWISE}"


def _node(chain: list[BaseException]) -> Any:
    """Return the node of the graph that could not be translated.

    The exporter writes it into its message as text, without the line that it comes from;
    the node itself, which knows the line, is a variable of the function that raised.
    """
    error = next((one for one in chain if str(one).startswith("Error when translating")), None)
    trace: TracebackType | None = error.__traceback__ if error else None
    while trace is not None:
        node = trace.tb_frame.f_locals.get("node")
        if node is not None and hasattr(node, "meta"):
            return node
        trace = trace.tb_next
    return None


def _node_place(chain: list[BaseException]) -> Place | None:
    return in_stack(getattr(_node(chain), "meta", {}).get("stack_trace") or "")
