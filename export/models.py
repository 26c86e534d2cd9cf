"""The models and the golden vectors of a crate, written in one go."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx as onnx_package
import onnx_ir
import onnxscript
import torch

from torchcrate.errors import ExportError
from torchcrate.export import choose
from torchcrate.export.artifact import Artifact, Role
from torchcrate.export.behaviour import require_function, require_numbers, undisturbed
from torchcrate.export.describe import completed
from torchcrate.export.findings import Findings, Format
from torchcrate.export.golden import golden
from torchcrate.export.onnx_support import first
from torchcrate.export.saturating import saturating
from torchcrate.export.sources import Sources, sources
from torchcrate.export.to_state_dict import to_state_dict
from torchcrate.export.to_torchscript import require_eval
from torchcrate.files import write_whole
from torchcrate.model.cases import example, telling
from torchcrate.model.contract import Contract
from torchcrate.model.eager import answers, dtypes
from torchcrate.model.spec import ModelSpec
from torchcrate.model.tolerance import tolerances
from torchcrate.model.weights import Loaded

Say = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        artifacts: The files, in the order written.
        contract: With outputs, be they described or worked out.
        tools: Versions and format numbers of what made them.
        minimum: The oldest runtimes that load them: libtorch, onnxruntime.
        findings: How each format was made, and why a format is not there.
        sources: What the eager program needs beside the weights; None if it is left out.
    """

    artifacts: tuple[Artifact, ...]
    contract: Contract
    tools: dict[str, str]
    minimum: dict[str, str]
    findings: Findings
    sources: Sources | None


def export_models(
    loaded: Loaded,
    spec: ModelSpec,
    out: Path,
    taken: tuple[str, ...] = (),
    target: str = "",
    on_step: Say = lambda step: None,
) -> Exported:
    """Write model.pth, the other models as far as they hold, and golden vectors into `out`.

    Args:
        loaded: Network and preprocessing, in eval mode.
        spec: What to write into the files.
        out: An existing folder.
        taken: The names of files that come into the crate beside these.
        target: Where the spec was found, `package.module:name`.
        on_step: Called with the name of each file before it is made.

    Raises:
        ExportError: If no format holds the network, or one that the spec asks for does not.
        ContractError: If the network's own answers break the contract.
        FolderError: If `out` cannot be written.
    """
    require_eval(loaded.module)
    on_step("eager")
    with undisturbed(loaded.module):
        contract = completed(loaded.module, spec.contract)
        asked = _asked(loaded, spec, contract)
    formats: list[Format] = []
    artifacts: list[Artifact] = []

    def made(name: str, role: Role, *formats: str) -> None:
        artifacts.append(Artifact.of(out / name, role, formats))

    on_step("model.pth")
    found, eager = _sources(spec, target, taken)
    formats.append(eager)
    origin = found.origin(spec) if found else None
    to_state_dict(loaded.network, contract, out / "model.pth", origin)
    made("model.pth", "state_dict", "eager")
    on_step("model.pt")
    formats.append(choose.torchscript(asked, out / "model.pt"))
    if formats[-1].way:
        made("model.pt", "torchscript", "torchscript", "cpp")
    on_step("model.onnx")
    formats.append(choose.onnx(asked, out / "model.onnx"))
    if formats[-1].way:
        made("model.onnx", "onnx", "onnx")
        if (out / "model.onnx.data").exists():
            made("model.onnx.data", "weights", "onnx")
    _require(spec, formats)
    on_step("golden.safetensors")
    data = golden(asked.cases, asked.want, asked.limits, chosen=spec.golden is not None)
    write_whole(out / "golden.safetensors", data)
    made("golden.safetensors", "golden")
    arguments = dict(spec.arguments) or None
    return Exported(
        tuple(artifacts),
        contract,
        *_versions(out / "model.onnx"),
        Findings(target, tuple(formats), arguments),
        found,
    )


def _asked(loaded: Loaded, spec: ModelSpec, contract: Contract) -> choose.Asked:
    cases = telling(spec, contract)
    limits = tolerances(spec, dtypes(loaded.module, contract))
    want = answers(loaded.module, contract, cases)
    require_function(loaded.module, contract, next(iter(cases.values())), limits["eager"])
    require_numbers(want)
    wide, saturated = saturating(loaded.module, spec, contract)
    return choose.Asked(
        loaded.module,
        contract,
        {name: torch.from_numpy(value) for name, value in example(contract).items()},
        cases,
        {**want, **saturated},
        limits,
        wide,
    )


def _sources(spec: ModelSpec, target: str, taken: tuple[str, ...]) -> tuple[Sources | None, Format]:
    started = time.monotonic()
    try:
        found = sources(spec, target, taken)
    except ExportError as error:
        return None, Format("eager", "", str(error), (), time.monotonic() - started)
    reason = f"built from {', '.join(found.files)}"
    return found, Format("eager", "source", reason, (), time.monotonic() - started)


def _require(spec: ModelSpec, formats: list[Format]) -> None:
    """Refuse what the spec does not accept.

    Raises:
        ExportError: Naming each format that is missing, with the reason.
    """
    missing = {form.name: form.reason for form in formats if not form.way}
    needed = spec.needed
    lost = {name: reason for name, reason in missing.items() if name in needed}
    if not spec.formats and {"torchscript", "onnx"} <= missing.keys():
        lost = {name: missing[name] for name in ("torchscript", "onnx")}
    if lost:
        words = "; ".join(f"{name} cannot hold it: {reason}" for name, reason in lost.items())
        raise ExportError(f"{spec.name}: {words}")


def _versions(graph: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return what made the models, and the oldest runtimes that load them."""
    release = torch.__version__.split("+")[0]
    tools = {"torch": release}
    minimum = {"libtorch": release}
    if graph.exists():
        model = onnx_package.load(graph, load_external_data=False)
        opset, ir = model.opset_import[0].version, model.ir_version
        tools |= {
            "onnx": onnx_package.__version__,
            "onnx_ir": onnx_ir.__version__,
            "onnxscript": onnxscript.__version__,
            "opset": str(opset),
            "ir": str(ir),
        }
        oldest = first(opset, ir)
        minimum |= {"onnxruntime": oldest} if oldest else {}
    return tools, minimum
