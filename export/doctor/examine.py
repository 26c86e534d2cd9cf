"""All checks of one network, the cheap ones first; nothing is written."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from torchcrate.errors import ContractError, ExportError
from torchcrate.export import choose
from torchcrate.export.doctor import answers as asking
from torchcrate.export.doctor import state
from torchcrate.export.doctor.check import Check, Diagnosis
from torchcrate.export.doctor.formats import source, tried
from torchcrate.export.doctor.sizes import sizes
from torchcrate.export.doctor.variety import variety
from torchcrate.export.saturating import saturating
from torchcrate.model import weights
from torchcrate.model.cases import example, telling
from torchcrate.model.contract import Contract
from torchcrate.model.eager import answers, dtypes
from torchcrate.model.spec import Cases, ModelSpec
from torchcrate.model.targets import resolve
from torchcrate.model.tolerance import tolerances
from torchcrate.model.weights import Loaded


def examine(
    spec: ModelSpec,
    target: str = "",
    *,
    taken: Sequence[str] = (),
    quick: bool = False,
    verbose: bool = False,
) -> Diagnosis:
    """Say of a network why a format cannot hold it, where, and what to change.

    Args:
        spec: The network.
        target: Where it was found, `package.module:name`.
        taken: The names of files that come into the crate whatever the network is.
        quick: Without ONNX, which takes the most time.
        verbose: Each format that fails with all that torch says.

    Raises:
        UsageError: If what the spec names cannot be imported.
    """
    return Diagnosis(spec.name, tuple(_checks(spec, target, taken, quick, verbose)))


def _checks(
    spec: ModelSpec, target: str, taken: Sequence[str], quick: bool, verbose: bool
) -> Iterator[Check]:
    try:
        loaded = weights.load(spec)
    except ContractError as error:
        yield Check("weights", "fault", str(error))
        return
    yield state.weights(loaded.network)
    yield state.shared(loaded.network)
    yield state.lost(loaded.network, lambda: _again(spec))
    mode = state.mode(loaded.module)
    yield mode
    module, contract = loaded.module, spec.contract
    if spec.samples is None and spec.golden is None:
        fits = sizes(module, contract)
        yield fits
        if fits.state == "fault":
            return
    cases = telling(spec, contract)
    given, contract = asking.outputs(module, contract, cases)
    yield given
    if given.state == "fault":
        return
    yield from _behaviour(module, contract, cases)
    if mode.state == "fault":  # what is random cannot be compared
        return
    yield from _formats(loaded, spec, contract, (target, taken), quick, verbose)


def _again(spec: ModelSpec) -> nn.Module:
    """Build a network with other random numbers than `weights.build` does."""
    call = resolve(spec.build) if isinstance(spec.build, str) else spec.build
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network: nn.Module = call(**spec.arguments)
    return network


def _behaviour(module: nn.Module, contract: Contract, cases: Cases) -> Iterator[Check]:
    asked = asking.twice(module, contract, next(iter(cases.values())))
    yield asking.in_place(asked)
    yield asking.random(module, asked)
    yield asking.memory(module, asked)
    yield asking.unused(module, contract, cases, asked)
    if asking.same(asked):
        yield asking.rows(module, contract)


def _formats(
    loaded: Loaded,
    spec: ModelSpec,
    contract: Contract,
    origin: tuple[str, Sequence[str]],
    quick: bool,
    verbose: bool,
) -> Iterator[Check]:
    module = loaded.module
    cases = telling(spec, contract)
    limits = tolerances(spec, dtypes(module, contract))
    try:
        want = answers(module, contract, cases)
    except ExportError as error:
        yield Check("outputs", "fault", str(error))
        return
    tells = variety(module, contract, cases, want, limits["onnx"])
    yield tells
    yield source(spec, *origin)
    if tells.state == "fault":  # NaN is like nothing
        return
    seen = {name: torch.from_numpy(value) for name, value in example(contract).items()}
    wide, saturated = saturating(module, spec, contract)
    asked = choose.Asked(module, contract, seen, cases, {**want, **saturated}, limits, wide)
    try:
        yield from tried(asked, spec, quick, verbose)
    except (ContractError, ExportError) as error:
        yield Check("formats", "fault", str(error))
