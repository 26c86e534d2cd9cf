"""The whole verification of a crate: reference, programs, golden vectors, one report."""

import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import onnxruntime
import safetensors
import safetensors.numpy

from torchcrate.cores import cores
from torchcrate.errors import ContractError
from torchcrate.export.artifact import Artifact, Role, sha256_of
from torchcrate.files import reading
from torchcrate.model.contract import Contract
from torchcrate.model.spec import Answers, Cases, ModelSpec
from torchcrate.model.tolerance import spread
from torchcrate.verify.build import build_cpp
from torchcrate.verify.devices import devices
from torchcrate.verify.drive import Program, programs, write_inputs
from torchcrate.verify.parity import allowed, compare
from torchcrate.verify.pictures import shown
from torchcrate.verify.report import Parity, Report
from torchcrate.verify.variants import Truth, judge_variants

if TYPE_CHECKING:
    from torchcrate.verify.reference import Reference

_LARGE = 256_000_000  # bytes of weights, past which programs are asked one after the other


def judge(
    crate: Path,
    files: tuple[Artifact, ...],
    contract: Contract,
    spec: ModelSpec,
    build: Path,
    cases: Cases,
    on_step: Callable[[str], None] = lambda step: None,
    truth: Truth = MappingProxyType({}),
    device: str = "",
) -> Report:
    """Hold the answers of the crate's programs against eager's, on every input.

    The reference is computed here, by the spec's own network with the crate's weights, while
    the programs answer, as many at once as there are cores. Weights that do not fit are told
    before anything is compiled.

    Args:
        crate: The folder of the crate.
        files: Its files; each is hashed before its program runs.
        contract: What the crate states of its inputs and outputs.
        spec: The network, and what it allows.
        build: Where the C++ program is built.
        cases: What to ask.
        on_step: Called with a word before each step.
        truth: The right labels of some cases, which optimised variants are held to.
        device: "cpu" to ask the programs there alone, "cuda" to ask them there too, "" to do so
            where there is one.

    Raises:
        ContractError: If the weights do not fit the network, or its answers the contract.
        ExportError: If the network fails on a case.
        RunnerError: If a program cannot be built or started, or fails.
    """
    on_step("files")
    judged = {}
    for file in files:
        if file.role != "provenance":  # no program reads it, and each job says another one
            with reading(crate / file.name):
                judged[file.name] = sha256_of(crate / file.name)

    @cache
    def right() -> "Reference":
        # torch takes seconds to import: not before there is somebody to wait for.
        from torchcrate.verify.reference import Reference

        return Reference.of(crate / _name(files, "state_dict"), contract, spec)

    libtorch = None
    if sources := {file.name: crate / file.name for file in files if file.role == "source"}:
        on_step("build C++")
        libtorch = build_cpp(sources, build, before=right)
    runners = [file.name for file in files if file.role == "runner"]
    found: list[tuple[Parity, tuple[str, ...]]] = []
    with tempfile.TemporaryDirectory(prefix="torchcrate-") as scratch:
        folder = Path(scratch)
        asked = folder / "inputs.safetensors"
        write_inputs(asked, cases)
        images = shown(folder, contract)
        started = programs(crate, runners, libtorch, partial(devices, wanted=device))
        with _answering(started, asked, folder, list(images), contract, _at_once(files)) as said:
            on_step("reference")
            reference = right()
            want, seen = reference.answers(cases), reference.reading(images)
            for program, answers in zip(started, said, strict=True):
                name, limits = program.name, reference.limits
                on_step(name)
                got, read = answers.result()
                of = partial(allowed, program.runtime, limits=limits, device=program.device)
                limit = of("tensors", exact=spec.exact)
                found.append(compare(name, "tensors", limit, want, got, contract))
                if images:
                    found.append(compare(name, "images", of("images"), seen, read, contract))
        variants, worse = judge_variants(crate, files, judged, contract, asked, folder, want, truth)
    on_step("golden vectors")
    apart = spread(want.values())
    failures = [line for _, lines in found for line in lines]
    failures += _blind(apart, [parity for parity, _ in found])
    failures += [*_golden(crate / _name(files, "golden"), reference), *worse]
    figures = tuple(parity for parity, _ in found)
    return Report(judged, _machine(), figures, tuple(failures), apart, variants)


def _ask(
    program: Program, asked: Path, folder: Path, images: Sequence[Path], contract: Contract
) -> tuple[dict[str, Answers], dict[str, Answers]]:
    """Return what a program answers to the inputs in `asked`, by case, and to images, by name.

    Args:
        program: One of the crate's.
        asked: Where the inputs were written.
        folder: Where the program may write its answers.
        images: The image files, which may be none.
        contract: Of its outputs.

    Raises:
        RunnerError: If the program fails or refuses one of them.
    """
    outputs = {answer.name: answer.dtype for answer in contract.outputs}
    got = program.answer(asked, folder)
    return got, program.read(images, outputs) if images else {}


@contextmanager
def _answering(
    started: Sequence[Program],
    asked: Path,
    folder: Path,
    images: Sequence[Path],
    contract: Contract,
    at_once: int,
) -> Iterator[list["Future[tuple[dict[str, Answers], dict[str, Answers]]]"]]:
    """Let the programs answer in the background; after a failure no further one is started."""
    pool = ThreadPoolExecutor(at_once)
    try:
        yield [pool.submit(_ask, each, asked, folder, images, contract) for each in started]
    finally:
        pool.shutdown(cancel_futures=True)


def _at_once(files: Sequence[Artifact]) -> int:
    """Return how many programs may run at once: each holds the weights in memory."""
    weights_size = sum(file.size for file in files if file.role == "state_dict")
    return 1 if weights_size > _LARGE else cores()


def _blind(apart: float, found: Sequence[Parity]) -> list[str]:
    """Return a line if what was asked cannot tell a right program from one that says anything."""
    limit = max((parity.limit for parity in found), default=0.0)
    if apart > limit:
        return []
    return [
        f"eager's answers to all inputs are within {apart:.1e} of each other and {limit:.1e} is "
        "allowed, so any program would pass: give samples that the network tells apart"
    ]


def _name(files: tuple[Artifact, ...], role: Role) -> str:
    """Return the name of the one file of `files` that has this role."""
    named = [file.name for file in files if file.role == role]
    if len(named) != 1:
        raise ContractError(f"the crate has {len(named)} files with the role {role}, not one")
    return named[0]


def _golden(path: Path, reference: "Reference") -> tuple[str, ...]:
    """Return a line for each golden vector that the reference does not confirm."""
    try:
        tensors = safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise ContractError(f"{path} holds no golden vectors: {error}") from error
    contract = reference.contract
    given = {one.name for one in contract.inputs}
    answered = {one.name for one in contract.outputs}
    asked: Cases = {}
    wanted: dict[str, Answers] = {}
    for key, value in tensors.items():
        case, _, name = key.rpartition(".")
        if name in given:
            asked.setdefault(case, {})[name] = value
        elif name in answered:
            wanted.setdefault(case, {})[name] = value
    whole = asked.keys() == wanted.keys() and all(set(one) == answered for one in wanted.values())
    if not asked or not whole:
        raise ContractError(f"{path} holds no golden vectors, or lacks some of their answers")
    got = reference.answers(asked)
    return compare("golden", "tensors", reference.limits["eager"], wanted, got, contract)[1]


def _machine() -> dict[str, str]:
    """Return what the figures depend on, without naming the machine."""
    import torch

    return {
        "processor": _processor(),
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # a str of its own kind, which no encoder knows
        "onnxruntime": onnxruntime.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
