"""A network described once: everything that export and verification ask of it."""

from dataclasses import dataclass
from pathlib import Path

from torchcrate.model.contract import DIGITS, Contract


@dataclass(frozen=True)
class Spec:
    """One network and what a crate of it must hold. Needs no torch.

    Attributes:
        name: The crate's package name.
        program: The name under which a crate carries the front door `runners/run.py`.
        contract: Inputs, outputs and labels.
        checkpoint: The weights that are exported unless others are named.
        network: The files beside the eager runner that define the network.
        limits: For each runtime the largest difference |got - want| / (1 + |want|) to
            eager's answer, where its batch and threads are not the reference's.
    """

    name: str
    program: str
    contract: Contract
    checkpoint: Path
    network: tuple[Path, ...]
    limits: dict[str, float]


_HERE = Path(__file__).parent

MNIST = Spec(
    name="mnist-net",
    program="run_mnist.py",
    contract=DIGITS,
    checkpoint=_HERE / "net.pth",
    network=(_HERE / "net.py", _HERE / "preprocess.py"),
    limits={"eager": 5e-6, "torchscript": 5e-6, "libtorch": 5e-6, "onnx": 2e-5},
)
