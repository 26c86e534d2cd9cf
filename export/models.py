"""The three models and the golden vectors of a crate, written in one go."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir
import onnxscript
import torch
from torch import nn

from torchcrate.export.artifact import Artifact, Role
from torchcrate.export.golden import golden
from torchcrate.export.onnx_support import first
from torchcrate.export.to_onnx import to_onnx
from torchcrate.export.to_state_dict import to_state_dict
from torchcrate.export.to_torchscript import to_torchscript
from torchcrate.files import write_whole
from torchcrate.model.spec import Spec


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        artifacts: The files, in the order written.
        tools: Versions and format numbers of what made them.
        minimum: The oldest runtimes that load them: libtorch, onnxruntime.
    """

    artifacts: tuple[Artifact, ...]
    tools: dict[str, str]
    minimum: dict[str, str]


def export_models(
    module: nn.Sequential,
    spec: Spec,
    out: Path,
    on_file: Callable[[str], None] = lambda name: None,
) -> Exported:
    """Write model.pth, model.pt, model.onnx and golden.safetensors into `out`.

    Args:
        module: Preprocessing and network, in eval mode.
        spec: What to write into the files.
        out: An existing folder.
        on_file: Called with the name of each file before it is made.

    Raises:
        ExportError: If a format cannot hold the network.
        FolderError: If `out` cannot be written.
    """
    artifacts = []
    network, contract = module[-1], spec.contract
    makers: dict[str, tuple[Role, tuple[str, ...], Callable[[], bytes]]] = {
        "model.pth": ("state_dict", ("eager",), lambda: to_state_dict(network, contract)),
        "model.pt": (
            "torchscript",
            ("torchscript", "cpp"),
            lambda: to_torchscript(module, contract),
        ),
        "model.onnx": ("onnx", ("onnx",), lambda: to_onnx(module, contract)),
        "golden.safetensors": ("golden", (), lambda: golden(module, spec)),
    }
    for name, (role, formats, make) in makers.items():
        on_file(name)
        write_whole(out / name, make())
        artifacts.append(Artifact.of(out / name, role, formats))
    model = onnx.load(out / "model.onnx")
    release = torch.__version__.split("+")[0]
    opset, ir = model.opset_import[0].version, model.ir_version
    oldest = first(opset, ir)
    return Exported(
        tuple(artifacts),
        tools={
            "torch": release,
            "onnx": onnx.__version__,
            "onnx_ir": onnx_ir.__version__,
            "onnxscript": onnxscript.__version__,
            "opset": str(opset),
            "ir": str(ir),
        },
        minimum={"libtorch": release} | ({"onnxruntime": oldest} if oldest else {}),
    )
