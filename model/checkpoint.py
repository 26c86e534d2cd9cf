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

_REMARKS = (
    "Detected pickle protocol",
    "'torch.load' received a zip file that looks like a TorchScript archive",
    "TypedStorage is deprecated",
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
            for remark in _REMARKS:  # what counts is whether it loads, and what it then holds
                warnings.filterwarnings("ignore", message=remark)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ContractError(
            f"{path} does not exist: name a checkpoint, or make one with 'torchcrate train'"
        ) from error
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        needs = named[1] if named else "code to be run"
        raise ContractError(
            f"{path} is no plain state_dict, it needs {needs}: "
            "save model.state_dict() with torch.save, not the whole model"
        ) from error
    except Exception as error:  # damaged archives raise whatever their bytes lead to
        if "TorchScript" in str(error):
            raise ContractError(
                f"{path} is a TorchScript archive, not a state_dict: name the model.pth it is of"
            ) from error
        raise ContractError(
            f"{path} is not a whole checkpoint file ({type(error).__name__}): "
            "save it again with torch.save(model.state_dict(), FILE)"
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
        kind = _kind(state[key])
        if kind:
            faults.append(f"{key} is a {kind} tensor, not a plain one")
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


def _kind(tensor: Tensor) -> str:
    """Return what a tensor is that cannot simply be copied into the network; nothing if it can."""
    if tensor.is_meta:
        return "meta"
    if tensor.is_quantized:
        return "quantized"
    return "" if tensor.layout == torch.strided else str(tensor.layout).removeprefix("torch.")
