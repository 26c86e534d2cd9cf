"""A network becomes model.pt: scripted or traced, frozen, with its contract inside.

Whatever the network's own signature is, the file's `forward` takes the contract's inputs by
position and returns its outputs as one tensor or a flat tuple, so that every program in every
language calls every crate alike.
"""

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from torchcrate.errors import ExportError
from torchcrate.export import canonical
from torchcrate.export.decisions import masks_as_given
from torchcrate.files import whole, writing
from torchcrate.model.calling import answer, call, flatten, leading
from torchcrate.model.contract import Contract

Way = Literal["script", "trace"]
WAYS: tuple[Way, ...] = ("script", "trace")


@dataclass(frozen=True)
class Frozen:
    """A line of the user's code at which a trace kept what its example made of it."""

    file: str
    line: int
    what: str


@dataclass
class Made:
    """A scripted or traced module, not yet a file.

    Attributes:
        module: It takes the contract's inputs by position.
        frozen: Where the trace turned a tensor into a plain number or a decision.
    """

    module: torch.jit.ScriptModule
    frozen: list[Frozen] = field(default_factory=list)


def make(
    module: nn.Module, contract: Contract, way: Way, example: Mapping[str, Any] | None = None
) -> Made:
    """Return `module` as TorchScript.

    Args:
        module: In eval mode throughout.
        contract: Names inputs and outputs.
        way: Script compiles the code; a trace records what it does with `example`.
        example: Tensors by the name of the input.

    Raises:
        ExportError: If a part is in train mode; the cause is torch's own error otherwise.
    """
    require_eval(module)
    with quiet():
        if way == "script":
            return Made(_scripted(module, contract, example or {}))
        return _traced(module, contract, example or {})


def save(made: Made, contract: Contract, path: Path) -> None:
    """Write a TorchScript archive, the same bytes on every machine, frozen where that is possible.

    Raises:
        FolderError: If `path` cannot be written.
    """
    with quiet(), writing(path), tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        raw = Path(scratch) / path.name
        extra = {canonical.CONTRACT: contract.dump()}
        torch.jit.save(_frozen(made.module), str(raw), _extra_files=extra)
        made.module = None  # type: ignore[assignment]  # of weights of gigabytes one copy is enough
        with raw.open("rb") as source, whole(path) as file:
            canonical.archive(source, file)


def require_eval(module: nn.Module) -> None:
    """Refuse a network that would answer at random or differently at each call.

    Raises:
        ExportError: If any part of `module` is in train mode, by its name.
    """
    training = [
        name or "the whole module" for name, part in module.named_modules() if part.training
    ]
    if training:
        raise ExportError(f"{training[0]} is in train mode: call module.eval() before exporting")


def _scripted(
    module: nn.Module, contract: Contract, example: Mapping[str, Tensor]
) -> torch.jit.ScriptModule:
    class Holder(nn.Module):
        """A place for the network; a class of its own, as its `forward` is defined once a class."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = module

    outer: torch.jit.ScriptModule = torch.jit.script(Holder().eval())
    outer.define(_forward(module, contract, example))
    return outer


def _forward(module: nn.Module, contract: Contract, example: Mapping[str, Tensor]) -> str:
    """Return the source of the outer `forward`: inputs by position, outputs flat."""
    names = [given.name for given in contract.inputs]
    count = leading(module, names)
    taken = ", ".join(
        f"{given.name}: {'Optional[Tensor]' if given.optional else 'Tensor'}"
        for given in contract.inputs
    )
    passed = ", ".join([*names[:count], *(f"{name}={name}" for name in names[count:])])
    paths = paths_of(module, contract, example)
    if paths == [""]:
        returned, kind = "answer", "Tensor"
    else:
        returned = f"({', '.join(f'answer{path}' for path in paths)},)"
        kind = f"Tuple[{', '.join('Tensor' for _ in paths)}]"
    return (
        f"def forward(self, {taken}) -> {kind}:\n"
        f"    answer = self.inner.forward({passed})\n"
        f"    return {returned}\n"
    )


def paths_of(module: nn.Module, contract: Contract, example: Mapping[str, Tensor]) -> list[str]:
    """Return the Python path to each tensor of an answer, "" for a bare one.

    Raises:
        TypeError: If the answer holds something that is no tensor.
    """
    if not example:
        return ["" for _ in contract.outputs]
    names = [given.name for given in contract.inputs]
    with torch.inference_mode():
        found = answer(module, names, [example.get(name) for name in names])
    return [path for path, _ in flatten(found)]


class Flat(nn.Module):
    """The network as every crate has it: inputs by position, a tensor or a flat tuple out."""

    def __init__(self, inner: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.inner = inner
        self.names = tuple(names)

    def forward(self, *tensors: Tensor | None) -> Tensor | tuple[Tensor, ...]:
        """Answer with one tensor, or with all of them in order."""
        answers = call(self.inner, self.names, tensors)
        return answers[0] if len(answers) == 1 else tuple(answers)


def _traced(module: nn.Module, contract: Contract, example: Mapping[str, Tensor]) -> Made:
    names = [given.name for given in contract.inputs]
    missing = [name for name in names if name not in example]
    if missing or any(given.optional for given in contract.inputs):
        optional = [given.name for given in contract.inputs if given.optional]
        raise ExportError(f"a trace has no optional inputs, and {(optional or missing)[0]} is one")
    flat = Flat(module, names).eval()
    tensors = tuple(example[name].clone() for name in names)
    with warnings.catch_warnings(record=True) as caught, torch.no_grad(), masks_as_given():
        warnings.simplefilter("always", TracerWarning)
        traced = torch.jit.trace(flat, tensors, check_trace=False)
    frozen = [
        Frozen(note.filename, note.lineno, str(note.message).partition(". ")[0])
        for note in caught
        if issubclass(note.category, TracerWarning)
    ]
    return Made(traced, list(dict.fromkeys(frozen)))


def _frozen(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Return the module with its weights as constants, where it does not change any of them.

    No numbers are folded: what is exported computes what eager does, bit for bit.
    """
    try:
        frozen: torch.jit.ScriptModule = torch.jit.freeze(module, optimize_numerics=False)
    except RuntimeError:  # it sets an attribute of its own while it answers
        return module
    return frozen


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to ourselves that TorchScript is deprecated: it is still what LibTorch loads."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is (deprecated|not supported)")
        warnings.filterwarnings("ignore", r"The TorchScript type system doesn't support")
        yield
