"""Answer with a crate's model.pth: the network's own Python, beside it, and its weights."""

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from command import leave, main
from runtime import RUNNER, RunError, Model, Work, absent, is_small, model_file, reason

if TYPE_CHECKING:
    from torch import nn

MODEL = "model.pth"
EXTRA = "model/extra/"  # where the archive holds what is not torch's
CONTRACT, NETWORK = "contract.json", "network.json"


def load(crate: Path, work: Work = "warm", device: str = "cpu") -> Model:
    """Build the network from the crate's own modules, and load the crate's weights into it.

    Raises:
        RunError: If torch or the device is missing, the network cannot be built, or the file
            is missing or refused.
    """
    try:
        import torch
        from calling import call
        from contract import parse_contract
        from torch_runtime import on_arrays, prepare
    except (ImportError, OSError) as error:
        raise absent(error, "requirements-eager.txt") from error
    path = model_file(crate, MODEL)
    prepare(work, device, is_small(path))
    try:
        with zipfile.ZipFile(path) as archive:
            inside = archive.namelist()
            texts = [
                archive.read(EXTRA + name) if EXTRA + name in inside else b""
                for name in (CONTRACT, NETWORK)
            ]
        contract = parse_contract(texts[0])
        described = _described(texts[1])
        weights = torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # damaged archives raise whatever their bytes led to
        said = str(error).split("\n")[0]
        raise RunError(RUNNER, f"torch {torch.__version__} refused {path}: {said}") from error
    module = _built(crate, described, weights).eval().to(device)
    names = [spec.name for spec in contract.inputs]
    return Model(contract, on_arrays(lambda tensors: call(module, names, tensors), device))


def _described(text: bytes) -> dict[str, Any]:
    """Return what network.json says: `network`, `arguments`, `preprocess`, `described_by`.

    Raises:
        ValueError: If it says none of that.
    """
    if not text:
        raise ValueError("it does not say how its network is built")
    said = json.loads(text)
    if isinstance(said, dict):
        network, arguments = said.get("network"), said.get("arguments", {})
        preprocess, described_by = said.get("preprocess"), said.get("described_by", [])
        whole = isinstance(network, str) and isinstance(arguments, dict)
        whole = whole and (preprocess is None or isinstance(preprocess, str))
        if whole and isinstance(described_by, list) and all(map(_is_name, described_by)):
            return {
                "network": network,
                "arguments": arguments,
                "preprocess": preprocess,
                "described_by": described_by,
            }
    raise ValueError(f"{NETWORK} does not say how the network is built")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("torchcrate.")


def _built(crate: Path, described: dict[str, Any], weights: dict[str, Any]) -> "nn.Module":
    """Return the network with its weights, behind its preprocessing if it has one.

    Raises:
        RunError: If its code is missing or fails, or the weights are of another network.
    """
    from torch import nn

    from modules import describe_by, find_in, target

    find_in(crate)
    describe_by(described["described_by"])
    name = described["network"]
    try:
        network: nn.Module = target(name)(**described["arguments"])
        network.load_state_dict(weights, assign=True)  # in the weights' own precision
        if described["preprocess"] is None:
            return network
        name = described["preprocess"]
        return nn.Sequential(target(name)(), network)
    except ModuleNotFoundError as error:
        line = f"{name} needs {error.name}, which is neither in {crate} nor installed"
        raise RunError(RUNNER, line) from error
    except Exception as error:  # the network's own code raises what it likes
        # What differs in the weights stands in the lines behind torch's first one.
        said = str(error).split("\n\t")[1] if "\n\t" in str(error) else reason(error)
        raise RunError(RUNNER, f"cannot build {name} of {crate}: {said}") from error


if __name__ == "__main__":
    leave(main("eager", load))
