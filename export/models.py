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
from torchcrate.export.to_onnx import to_onnx
from torchcrate.export.to_state_dict import to_state_dict
from torchcrate.export.to_torchscript import to_torchscript
from torchcrate.files import write_whole
from torchcrate.model.spec import Spec

# The first ONNX Runtime that reads an IR version, by its own compatibility table.
_RUNTIME_OF_IR = {8: "1.14.0", 9: "1.17.0", 10: "1.18.0", 11: "1.22.0"}


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
    makers: dict[str, tuple[Role, Callable[[], bytes]]] = {
        "model.pth": ("state_dict", lambda: to_state_dict(module[-1], spec.contract)),
        "model.pt": ("torchscript", lambda: to_torchscript(module, spec.contract)),
        "model.onnx": ("onnx", lambda: to_onnx(module, spec.contract)),
        "golden.safetensors": ("golden", lambda: golden(module, spec)),
    }
    for name, (role, make) in makers.items():
        on_file(name)
        write_whole(out / name, make())
        artifacts.append(Artifact.of(out / name, role))
    model = onnx.load(out / "model.onnx")
    release = torch.__version__.split("+")[0]
    return Exported(
        tuple(artifacts),
        tools={
            "torch": release,
            "onnx": onnx.__version__,
            "onnx_ir": onnx_ir.__version__,
            "onnxscript": onnxscript.__version__,
            "opset": str(model.opset_import[0].version),
            "ir": str(model.ir_version),
        },
        minimum={"libtorch": release, "onnxruntime": _RUNTIME_OF_IR[model.ir_version]},
    )
