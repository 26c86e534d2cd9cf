"""Weights: read from a file that can hold nothing else, and put into the default network."""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from torchcrate.errors import ContractError
from torchcrate.model.net import Net
from torchcrate.model.preprocess import Preprocess

# What torch says while it reads files that are refused here by a line of their own, or that
# are read all the same.
_NOTES = (
    "Detected pickle protocol",  # a foreign one: what counts is whether it loads
    r"Sparse \w+ tensor support is in beta",
    "TypedStorage is deprecated",  # torch's own reader of quantized tensors uses it
    r"torch\.quantize_per_tensor, torch\.quantize_per_channel",
    r"'torch\.load' received a zip file that looks like a TorchScript archive",
)

COMMITTED = Path(__file__).with_name("net.pth")


def load(path: Path = COMMITTED) -> nn.Sequential:
    """Return preprocessing and the default network with the weights at `path`, in eval mode.

    It maps raw pixels (N, 1, H, W) uint8 to log-probabilities (N, 10) float32.

    Raises:
        ContractError: If the file is missing, is no state_dict of tensors, or does
            not fit the network; every key and shape that is off is listed.
    """
    net = Net()
    net.load_state_dict(fitting(net, read_state(path), path))
    return nn.Sequential(Preprocess(), net).eval()


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a plain state_dict with `weights_only=True` and nothing else.

    Raises:
        ContractError: If the file is missing, cut short, or needs more than tensors.
    """
    try:
        with warnings.catch_warnings():
            for note in _NOTES:
                warnings.filterwarnings("ignore", note, UserWarning)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ContractError(
            f"{path} does not exist: name a checkpoint, or make one with 'torchcrate train'"
        ) from error
    except Exception as error:  # damaged archives raise whatever their bytes lead to
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named and isinstance(error, pickle.UnpicklingError):
            raise ContractError(
                f"{path} is no plain state_dict, it needs {named[1]}: "
                "save model.state_dict() with torch.save, not the whole model"
            ) from error
        if "TorchScript archive" in str(error):
            raise ContractError(
                f"{path} is a TorchScript archive: name the state_dict, model.pth in a crate"
            ) from error
        raise ContractError(
            f"{path} is not a whole checkpoint file: "
            "save it again with torch.save(model.state_dict(), path)"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise ContractError(f"{path} holds {type(state).__name__}, not a state_dict of tensors")
    return dict(state)


def fitting(net: nn.Module, state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return `state` if it has exactly the tensors of `net`, all finite.

    Raises:
        ContractError: Listing every missing, unknown, misshapen or non-finite tensor.
    """
    want = net.state_dict()
    faults = [f"{key} is missing" for key in want if key not in state]
    faults += [f"{key} is unknown" for key in state if key not in want]
    for key in want.keys() & state.keys():
        if kind := _unfit(state[key]):
            faults.append(f"{key} is {kind}, not a dense tensor of plain numbers")
        elif want[key].shape != state[key].shape:
            faults.append(
                f"{key} has shape {tuple(state[key].shape)}, not {tuple(want[key].shape)}"
            )
        elif want[key].dtype != state[key].dtype:
            faults.append(f"{key} has dtype {state[key].dtype}, not {want[key].dtype}")
        elif not state[key].isfinite().all():
            faults.append(f"{key} holds NaN or infinity")
    if faults:
        raise ContractError(
            f"{path} does not fit {type(net).__name__}: {'; '.join(sorted(faults))}"
        )
    return dict(state)


def _unfit(tensor: Tensor) -> str:
    """Return the word for a tensor whose values do not lie in memory one by one, else ""."""
    kinds = {
        "quantized": tensor.is_quantized,
        "without values (on the meta device)": tensor.is_meta,
        "nested": tensor.is_nested,
        f"stored as {str(tensor.layout).removeprefix('torch.')}": tensor.layout != torch.strided,
    }
    return next((word for word, fits in kinds.items() if fits), "")
