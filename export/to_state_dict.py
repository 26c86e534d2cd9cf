"""A network's weights become model.pth: a plain state_dict, the same bytes on every machine."""

import io
import json

import torch
from torch import nn

from torchcrate.export import canonical
from torchcrate.model.contract import Contract


def to_state_dict(net: nn.Module, contract: Contract) -> bytes:
    """Return the parameters and buffers of `net` as `torch.load(weights_only=True)` reads them.

    The contract, and what builds the network, lie beside them in the archive, where torch does
    not look.
    """
    state = {key: value.detach().cpu().clone() for key, value in net.state_dict().items()}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    network = {"network": "net:Net", "arguments": {}, "preprocess": "preprocess:Preprocess"}
    extra = {
        canonical.CONTRACT: contract.dump(),
        canonical.NETWORK: json.dumps(network, separators=(",", ":")).encode(),
    }
    return canonical.archive(buffer.getvalue(), extra)
