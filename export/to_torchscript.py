"""A network becomes model.pt: scripted, frozen, in eval mode, with its contract inside."""

import io
import warnings

import torch
from torch import nn

from torchcrate.errors import ExportError
from torchcrate.export import canonical
from torchcrate.model.contract import Contract


def to_torchscript(module: nn.Module, contract: Contract) -> bytes:
    """Return `module` as a TorchScript archive, the same bytes on every machine.

    Args:
        module: In eval mode throughout.
        contract: Stored in the archive as an extra file.

    Raises:
        ExportError: If a part is in train mode, or TorchScript cannot hold the network.
    """
    require_eval(module)
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            # Deprecated, and still the one format that LibTorch loads.
            warnings.filterwarnings(
                "ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning
            )
            frozen = torch.jit.freeze(torch.jit.script(module))
            torch.jit.save(frozen, buffer, _extra_files={canonical.CONTRACT: contract.dump()})
    except (RuntimeError, TypeError, ValueError, torch.jit.frontend.NotSupportedError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ExportError(f"TorchScript cannot hold {type(module).__name__}: {reason}") from error
    return canonical.archive(buffer.getvalue())


def require_eval(module: nn.Module) -> None:
    """Refuse a network that would answer at random or differently at each call.

    Raises:
        ExportError: If any part of `module` is in train mode, by its name.
    """
    training = [
        name or "the whole module" for name, part in module.named_modules() if part.training
    ]
    if training:
        raise ExportError(f"{training[0]} is in train mode: call module.eval() before exporting")
