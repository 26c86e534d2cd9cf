"""A network's weights become model.pth: a plain state_dict, the same bytes on every machine."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from torchcrate.export import canonical
from torchcrate.files import whole, writing
from torchcrate.model.contract import Contract

NETWORK = "network.json"  # the extra file that says what builds the network


def to_state_dict(
    net: nn.Module, contract: Contract, path: Path, origin: Mapping[str, Any] | None = None
) -> None:
    """Write the parameters and buffers of `net` as `torch.load(weights_only=True)` reads them.

    The contract lies beside them in the archive, where torch does not look.

    Args:
        net: Its state_dict is written, from the CPU, without copies.
        contract: Written beside it, as JSON.
        path: The file to write.
        origin: How the eager runner builds the network, from the files of the crate; None
            if it cannot.
    """
    state = {key: _plain(value) for key, value in net.state_dict().items()}
    extra = {canonical.CONTRACT: contract.dump()}
    if origin is not None:
        extra[NETWORK] = json.dumps(origin).encode()
    with writing(path), tempfile.TemporaryFile(dir=path.parent) as raw:
        torch.save(state, raw)
        with whole(path) as file:
            canonical.archive(raw, file, extra)


def _plain(value: torch.Tensor) -> torch.Tensor:
    """Return the tensor alone: not the whole of a larger one that it is a part of."""
    value = value.detach().cpu()
    part = value.numel() * value.element_size() != value.untyped_storage().nbytes()
    return value.clone() if part else value
