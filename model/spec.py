"""A network described once: everything that export and verification ask of it. Needs no torch."""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torchcrate.errors import UsageError
from torchcrate.model.contract import RESERVED, Contract, Sizes, TensorSpec, tensor

__all__ = ["Answers", "Cases", "ModelSpec", "Sizes", "tensor"]

Cases = dict[str, dict[str, Any]]
"""What a network is asked: for each case a numpy array by the name of each input."""

Answers = dict[str, Any]
"""What it answers to one case: a numpy array by the name of each output."""

FORMATS = ("eager", "torchscript", "onnx", "cpp")
BUDGET = ("latency", "size", "slower")
RUNTIMES = ("eager", "torchscript", "libtorch", "onnx")
CUDA = "cuda"

# The least and the greatest finite value of each of DTYPES.
_RANGES: dict[str, tuple[float, float]] = {
    "bool": (0, 1),
    "uint8": (0, 255),
    **{f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    "float16": (-65504.0, 65504.0),
    "float32": (-(2.0 - 2.0**-23) * 2.0**127, (2.0 - 2.0**-23) * 2.0**127),
    "float64": (-sys.float_info.max, sys.float_info.max),
}


@dataclass(frozen=True)
class ModelSpec:
    """One network and what a crate of it must hold.

    Attributes:
        name: The crate's package name.
        build: What returns the network when called with `arguments`: a class or a function
            at the top of a module, or its name as `package.module:name`.
        inputs: What the network takes, each as `tensor` reads it or a TensorSpec; in the order
            of `forward`, and by name where `forward` takes it by keyword only.
        outputs: What it returns, tuples, dicts and dataclasses flattened; () to have names,
            dtypes and axes worked out by asking the network.
        labels: The word for each position of the last axis of the first output.
        sizes: How long free axes may be, 1 or more if not said; `1..512` or a Sizes.
        checkpoint: The weights, unless others are named; None takes what `build` returns.
            Names that all lie behind `module.` or `_orig_mod.` count without it.
        key: Where in a training checkpoint the state_dict lies, say `model` or `ema.model`.
        arguments: Keyword arguments of `build`: what JSON can hold.
        preprocess: What returns a module that goes before the network, for one input alone.
        tolerances: For each runtime the largest difference |got - want| / (1 + |want|) to
            eager's answer; one that is not named is chosen by the precision of the weights.
            "cuda" is for whichever runtime on a CUDA device.
        exact: The runtimes that must give eager's very bits, where batch and threads are
            the reference's.
        samples: What returns the Cases to judge with; None makes them up from the contract.
        golden: What returns the Cases whose answers travel with the crate; None takes samples.
        data: What returns more Cases, given the folder that `verify --data-dir` names.
        calibration: What returns Cases like those that the network was trained on, given that
            folder: `torchcrate optimise` chooses the ranges of int8 by them.
        truth: What returns for cases of `data`, given that folder, the place of the right
            label of each entry.
        formats: The formats that a crate must have, of FORMATS. Others may be left out, with
            the reason. With none named, one of torchscript and onnx must hold.
        program: The name under which a crate carries the front door `runners/run.py`.
        budget: What `torchcrate bench` holds a crate to, of BUDGET: the most that a warm call
            may take, in units of a reference kernel; the most bytes of all files; how many
            times longer than the version before it may take.
    """

    name: str
    build: Callable[..., Any] | str
    inputs: tuple[TensorSpec | str, ...]
    outputs: tuple[TensorSpec | str, ...] = ()
    labels: tuple[str, ...] = ()
    sizes: Mapping[str, Sizes | str] = field(default_factory=dict)
    checkpoint: Path | None = None
    key: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    preprocess: Callable[[], Any] | str | None = None
    tolerances: Mapping[str, float] = field(default_factory=dict)
    exact: tuple[str, ...] = ()
    samples: Callable[[], Cases] | str | None = None
    golden: Callable[[], Cases] | str | None = None
    data: Callable[[Path], Cases] | str | None = None
    calibration: Callable[[Path], Cases] | str | None = None
    truth: Callable[[Path], Mapping[str, Any]] | str | None = None
    formats: tuple[str, ...] = ()
    program: str = "run.py"
    budget: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Hold the description to its own rules, before anything is built from it."""
        self._known("tolerances", self.tolerances, (*RUNTIMES, CUDA))
        self._known("exact", self.exact, RUNTIMES)
        self._known("formats", self.formats, FORMATS)
        self._known("budget", self.budget, BUDGET)
        wrong = [name for name, most in self.tolerances.items() if not 0 <= most < float("inf")]
        if wrong:
            raise UsageError(f"the tolerance of {self.name} for {wrong[0]} is no number from 0 on")
        if not re.fullmatch(r"[A-Za-z_]\w*\.py", self.program, re.ASCII):
            raise UsageError(
                f"program of {self.name} is {self.program!r}: give the name of a file, say run.py"
            )
        wrong = [name for name, most in self.budget.items() if not 0 < most < float("inf")]
        if wrong:
            raise UsageError(f"the budget of {self.name} for {wrong[0]} is no number above 0")
        contract = self.contract
        tensors = (*contract.inputs, *contract.outputs)
        axes = {axis for each in tensors for axis in each.axes}
        for axis, size in contract.sizes.items():
            if axis not in axes:
                raise UsageError(f"sizes of {self.name} names {axis!r}, which is no axis of it")
            if size.minimum < 0 or (size.maximum is not None and size.maximum <= size.minimum):
                raise UsageError(
                    f"axis {axis} of {self.name} cannot be {size.words()}: "
                    "a free axis has at least two sizes, a fixed one is written as its number"
                )
        if not contract.inputs:
            raise UsageError(f"{self.name} has no inputs: describe them as NAME:DTYPE[AXIS,...]")
        for given in tensors:
            self._ranged(given)
        names = [given.name for given in tensors]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"{self.name} names {twice[0]} twice: give each tensor its own name")
        optional = [given.name for given in contract.outputs if given.optional]
        if optional:
            raise UsageError(f"output {optional[0]} of {self.name} cannot be optional")
        own = [answer.name for answer in contract.outputs if answer.name in RESERVED]
        if own:
            raise UsageError(
                f"output {own[0]} of {self.name} cannot have this name, one of those that programs "
                f"add in JSON ({', '.join(RESERVED)}): choose another, outputs go by place"
            )
        if self.preprocess and len(contract.inputs) != 1:
            raise UsageError(
                f"preprocess of {self.name} takes one input, there are {len(contract.inputs)}: "
                "put it into the network's forward"
            )

    @cached_property
    def contract(self) -> Contract:
        """Inputs, outputs (none if they are still to be worked out), labels and sizes."""
        return Contract(
            tuple(_read(given) for given in self.inputs),
            tuple(_read(given) for given in self.outputs),
            tuple(self.labels),
            {
                axis: Sizes.parse(size) if isinstance(size, str) else size
                for axis, size in self.sizes.items()
            },
        )

    @property
    def needed(self) -> set[str]:
        """The models that there must be, "cpp" being a program of torchscript's."""
        return {"torchscript" if form == "cpp" else form for form in self.formats}

    def tolerating(self, tolerances: Mapping[str, float]) -> "ModelSpec":
        """Return the same network with other tolerances for the runtimes that are named."""
        return replace(self, tolerances={**self.tolerances, **tolerances})

    def _ranged(self, given: TensorSpec) -> None:
        """Refuse a range of values that no tensor can have, or that JSON cannot state."""
        ends = [end for end in (given.minimum, given.maximum) if end is not None]
        low, high = _RANGES[given.dtype]
        if ends != sorted(ends) or not all(low <= end <= high for end in ends):
            raise UsageError(
                f"{given.name} of {self.name} cannot hold {given.words()!r}: "
                f"give LOW..HIGH within what {given.dtype} can be, and leave an open end away"
            )

    def _known(self, field: str, words: Any, known: tuple[str, ...]) -> None:
        unknown = sorted(set(words) - set(known))
        if unknown:
            raise UsageError(
                f"{field} of {self.name} names {unknown[0]!r}, which is none of {', '.join(known)}"
            )


def _read(given: TensorSpec | str) -> TensorSpec:
    return tensor(given) if isinstance(given, str) else given
