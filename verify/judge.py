"""The whole verification of a crate: reference, four programs, golden vectors, one report."""

import platform
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import onnxruntime
import safetensors
import safetensors.numpy
import torch
from torch import nn

from torchcrate.errors import ContractError
from torchcrate.export.artifact import Artifact, Role, sha256_of
from torchcrate.files import reading
from torchcrate.model import checkpoint
from torchcrate.model.samples import Pixels
from torchcrate.model.spec import Spec
from torchcrate.verify.build import build_cpp
from torchcrate.verify.drive import Answers, Program, programs, write_inputs
from torchcrate.verify.parity import allowed, compare
from torchcrate.verify.pictures import shown
from torchcrate.verify.report import Parity, Report


def judge(
    crate: Path,
    files: tuple[Artifact, ...],
    spec: Spec,
    build: Path,
    cases: Mapping[str, Pixels],
    on_step: Callable[[str], None] = lambda step: None,
) -> Report:
    """Hold the answers of the crate's four programs against eager's, on every input.

    The reference is computed here, by torchcrate's own network with the crate's weights.

    Args:
        crate: The folder of the crate.
        files: Its files; each is hashed before its program runs.
        spec: The network's contract and limits.
        build: Where the C++ program is built.
        cases: What to ask, each (N, 1, H, W) uint8 by name; see `inputs`.
        on_step: Called with a word before each step.

    Raises:
        ContractError: If the weights do not fit the network.
        RunnerError: If a program cannot be built or started, or fails.
    """
    judged = {}
    for file in files:
        with reading(crate / file.name):
            judged[file.name] = sha256_of(crate / file.name)
    on_step("reference")
    reference = checkpoint.load(crate / _name(files, "state_dict"))
    want = _answers(reference, cases)
    on_step("build C++")
    sources = [file.name for file in files if file.role == "source"]
    libtorch = build_cpp(crate, sources, build)
    found: list[tuple[Parity, tuple[str, ...]]] = []
    with tempfile.TemporaryDirectory(prefix="torchcrate-") as scratch:
        folder = Path(scratch)
        asked = folder / "inputs.safetensors"
        write_inputs(asked, spec.contract.inputs[0].name, cases)
        images = shown(folder)
        for program in programs(crate, libtorch):
            on_step(program.runtime)
            limit = allowed(program.runtime, "tensors", spec.limits)
            got = program.answer(asked, folder)
            found.append(compare(program.runtime, "tensors", limit, want, got))
            found.append(judge_images(program, reference, spec, images))
    on_step("golden vectors")
    failures = [line for _, lines in found for line in lines]
    failures += _golden(crate / _name(files, "golden"), reference, spec)
    return Report(judged, _machine(), tuple(parity for parity, _ in found), tuple(failures))


def judge_images(
    program: Program, reference: nn.Module, spec: Spec, images: Mapping[Path, Pixels]
) -> tuple[Parity, tuple[str, ...]]:
    """Hold what a program says of image files against the reference on the grey values in them.

    Args:
        program: One of the crate's.
        reference: What is right, (N, 1, H, W) uint8 -> (N, C) float32.
        spec: Whose limits hold.
        images: What is to be seen in each file, (1, 1, H, W); see `pictures.shown`.

    Raises:
        RunnerError: If the program fails or refuses one of them.
    """
    want = _answers(reference, {path.name: grey for path, grey in images.items()})
    limit = allowed(program.runtime, "images", spec.limits)
    return compare(program.runtime, "images", limit, want, program.read(list(images)))


def _name(files: tuple[Artifact, ...], role: Role) -> str:
    """Return the name of the one file of `files` that has this role."""
    named = [file.name for file in files if file.role == role]
    if len(named) != 1:
        raise ContractError(f"the crate has {len(named)} files with the role {role}, not one")
    return named[0]


def _answers(reference: nn.Module, cases: Mapping[str, Pixels]) -> dict[str, Answers]:
    with torch.inference_mode():
        return {case: reference(torch.from_numpy(image)).numpy() for case, image in cases.items()}


def _golden(path: Path, reference: nn.Module, spec: Spec) -> tuple[str, ...]:
    """Return a line for each golden vector that the reference does not confirm."""
    try:
        tensors = safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise ContractError(f"{path} holds no golden vectors: {error}") from error
    given, answered = spec.contract.inputs[0].name, spec.contract.outputs[0].name
    asked = {
        key.removesuffix(f".{given}"): value
        for key, value in tensors.items()
        if key.endswith(f".{given}")
    }
    wanted = {
        case: tensors[f"{case}.{answered}"] for case in asked if f"{case}.{answered}" in tensors
    }
    if not asked or len(wanted) != len(asked):
        raise ContractError(f"{path} holds no golden vectors, or lacks some of their answers")
    got = _answers(reference, asked)
    return compare("golden", "tensors", spec.limits["eager"], wanted, got)[1]


def _machine() -> dict[str, str]:
    """Return what the figures depend on, without naming the machine."""
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
