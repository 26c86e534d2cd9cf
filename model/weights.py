"""Weights: read from a file that can hold nothing else, and put into a network."""

import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from torchcrate.errors import ContractError, CrateError
from torchcrate.files import reading
from torchcrate.model import targets
from torchcrate.model.spec import ModelSpec

# What torch says while it reads files that are refused here by a line of their own, or that
# are read all the same.
_NOTES = (
    "Detected pickle protocol",  # a foreign one: what counts is whether it loads
    r"Sparse \w+ tensor support is in beta",
    "TypedStorage is deprecated",  # torch's own reader of quantized tensors uses it
    r"torch\.quantize_per_tensor, torch\.quantize_per_channel",
    r"'torch\.load' received a zip file that looks like a TorchScript archive",
)
_PIECE = 2**22  # entries of a tensor
_WRAPPERS = ("module.", "_orig_mod.")  # DataParallel and DDP; torch.compile
_SHOWN = 5  # faults of a checkpoint


@dataclass(frozen=True)
class Loaded:
    """A network with its weights, in eval mode.

    Attributes:
        network: What `build` returned; its state_dict is model.pth.
        module: What is exported: the network behind its preprocessing, or alone.
    """

    network: nn.Module
    module: nn.Module


def load(spec: ModelSpec, checkpoint: Path | None = None) -> Loaded:
    """Build a network and put weights into it.

    What is random in building it is seeded, so that a network without a checkpoint is the
    same one each time.

    Args:
        spec: The network.
        checkpoint: A state_dict alone, instead of the checkpoint of the spec.

    Raises:
        ContractError: If the network cannot be built, or the file is missing, is no state_dict
            of tensors, or does not fit the network; keys and shapes that are off are listed.
    """
    network = build(spec)
    path = checkpoint or spec.checkpoint
    if path is not None:
        state = read_state(path, None if checkpoint else spec.key)
        network.load_state_dict(fitting(network, state, path))
    return composed(spec, network)


def composed(spec: ModelSpec, network: nn.Module) -> Loaded:
    """Return a network behind its preprocessing, both in eval mode.

    Raises:
        ContractError: If preprocessing cannot be built.
    """
    network.eval()
    if spec.preprocess is None:
        return Loaded(network, network)
    before = _made(spec, spec.preprocess, {}, "preprocess")
    return Loaded(network, nn.Sequential(before, network).eval())


def build(spec: ModelSpec) -> nn.Module:
    """Return the network of a spec with the weights that it is born with.

    Raises:
        ContractError: If `build` fails or returns no module.
    """
    return _made(spec, spec.build, spec.arguments, "build")


def _made(
    spec: ModelSpec, maker: Callable[..., Any] | str, arguments: Mapping[str, Any], what: str
) -> nn.Module:
    call = targets.resolve(maker) if isinstance(maker, str) else maker
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            module = call(**arguments)
        except CrateError:
            raise
        except (Exception, SystemExit) as error:  # the user's own code
            raise ContractError(
                f"{what} of {spec.name} fails{targets.where(error)}: {targets.said(error)}"
            ) from error
    if not isinstance(module, nn.Module):
        raise ContractError(
            f"{what} of {spec.name} returns {type(module).__name__}, not an nn.Module"
        )
    tensors = (*module.named_parameters(), *module.named_buffers())
    state = module.state_dict()
    other = next((name for name, one in state.items() if not isinstance(one, Tensor)), "")
    if other:
        kind = type(state[other]).__name__
        raise ContractError(
            f"{what} of {spec.name} returns a network whose state_dict holds {other}, a {kind} and "
            "no tensor, as layers quantized by torch do: build it in floats, 'torchcrate optimise' "
            "makes int8 of its crate"
        )
    lazy = next((name for name, one in tensors if is_lazy(one)), "")
    if lazy:
        raise ContractError(
            f"{what} of {spec.name} returns a network whose {lazy} has no shape yet: "
            "let it call the network once on some input before it returns it, or give the layer "
            "its sizes"
        )
    return module


def read_state(path: Path, key: str | None = None) -> dict[str, Tensor]:
    """Read a state_dict: plain tensors, and no code whatever the file holds.

    Args:
        path: A `.safetensors` file, or what `torch.save` wrote of a state_dict or of a
            training checkpoint that holds one.
        key: Where in a training checkpoint it lies, say `model` or `ema.model`.

    Raises:
        ContractError: If the file is missing, cut short, needs more than tensors, or holds
            no state_dict at `key`; says where one lies.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path, key)
    value = _read_archive(path)
    whole = isinstance(value, Mapping) and key in value
    for step in ([key] if whole else key.split(".")) if key else ():
        if not isinstance(value, Mapping) or step not in value:
            raise ContractError(f"{path} holds nothing under {key!r}{_advice(value)}")
        value = value[step]
    if not _is_state(value):
        what = type(value).__name__ if not key else f"{type(value).__name__} under {key!r}"
        raise ContractError(f"{path} holds {what}, not a state_dict of tensors{_advice(value)}")
    return dict(value)


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(one, Tensor) for name, one in value.items()
    )


def _advice(value: Any) -> str:
    """Return which keys of a checkpoint hold a state_dict, or which keys it has."""
    if not isinstance(value, Mapping) or not value:
        return ""
    states = [str(name) for name, one in value.items() if _is_state(one) and one]
    if states:
        return f": name where it lies, --key {' or --key '.join(states)}"
    return f": its keys are {', '.join(sorted(map(str, value))[:9])}"


def _read_safetensors(path: Path, key: str | None) -> dict[str, Tensor]:
    if key:
        raise ContractError(f"{path} is one flat list of tensors: leave --key {key} away")
    if not path.exists():
        raise ContractError(f"{path} does not exist: name a checkpoint")
    with reading(path):
        path.open("rb").close()  # the system's words on why not, which safetensors has not
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ContractError(f"{path} is no whole safetensors file: {error}") from error


def _read_archive(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            for note in _NOTES:
                warnings.filterwarnings("ignore", note, UserWarning)
            # Mapped, not read: weights of gigabytes are copied once, into the network.
            try:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError:  # the format before 1.6 cannot be mapped
                return torch.load(path, map_location="cpu", weights_only=True)
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


def fitting(net: nn.Module, state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return `state` if it has exactly the tensors of `net`, none with NaN, parameters finite.

    A buffer may hold infinities, as masks do. A tensor that `net` shares under two names may lie
    there under either. What DataParallel, DDP or torch.compile put before every name is dropped.

    Raises:
        ContractError: Listing missing, unknown, misshapen or non-finite tensors, the first few.
    """
    want = net.state_dict()
    state = _unwrapped(want, state)
    buffers = {name for name, _ in net.named_buffers(remove_duplicate=False)}
    state = {**state, **_shared(want, state)}
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
        elif key in buffers and _any(torch.isnan, state[key]):
            faults.append(f"buffer {key} holds NaN")
        elif key not in buffers and _any(_not_finite, state[key]):
            faults.append(f"{key} holds NaN or infinity")
    if faults:
        more = [f"{len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        words = "; ".join([*sorted(faults)[:_SHOWN], *more])
        raise ContractError(
            f"{path} does not fit {type(net).__name__}: {words}{_within(want, state)}"
        )
    return dict(state)


def _unwrapped(want: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return `state` without the names of wrappers before all of its own, if no name is wanted."""
    for wrapper in _WRAPPERS * 2:  # one may lie within the other
        if want.keys().isdisjoint(state) and all(name.startswith(wrapper) for name in state):
            state = {name.removeprefix(wrapper): one for name, one in state.items()}
    return state


def _within(want: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """Return what to do where `state` holds all that it lacks of `want` as a part of more."""
    missing = [key for key in want if key not in state]
    wholes = (key.removesuffix(missing[0]) for key in state if key.endswith(f".{missing[0]}"))
    for whole in wholes if missing else ():
        if all(f"{whole}{key}" in state for key in missing):
            part = whole.rstrip(".")
            return f": all that is missing is there under {part}, save {part}.state_dict() alone"
    return ""


def _any(wrong: Callable[[Tensor], Tensor], tensor: Tensor) -> bool:
    """Return whether any entry is wrong; looks at pieces, as each look makes copies."""
    return any(bool(wrong(piece).any()) for piece in tensor.flatten().split(_PIECE))


def _not_finite(tensor: Tensor) -> Tensor:
    return ~tensor.isfinite()


def _shared(want: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what `state` lacks of `want` and holds under another name of the same tensor."""
    there = {_place(want[key]): key for key in want.keys() & state.keys()}
    return {
        key: state[there[_place(value)]]
        for key, value in want.items()
        if key not in state and _place(value) in there
    }


def _place(tensor: Tensor) -> tuple[object, ...]:
    """Return what two names of one tensor have in common; its own self if it has no memory."""
    if not tensor.numel() or tensor.is_meta or tensor.layout != torch.strided:
        return (id(tensor),)
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def _unfit(tensor: Tensor) -> str:
    """Return the word for a tensor whose values do not lie in memory one by one, else ""."""
    kinds = {
        "quantized": tensor.is_quantized,
        "without values (on the meta device)": tensor.is_meta,
        "nested": tensor.is_nested,
        f"stored as {str(tensor.layout).removeprefix('torch.')}": tensor.layout != torch.strided,
    }
    return next((word for word, fits in kinds.items() if fits), "")
