"""Answer with a crate's model.pt, a TorchScript archive, in Python."""

import warnings
from pathlib import Path
from typing import Any

from command import leave, main
from runtime import RUNNER, RunError, Model, Work, absent, is_small, model_file

MODEL = "model.pt"
CONTRACT = "contract.json"  # the extra file inside it


def load(crate: Path, work: Work = "warm", device: str = "cpu") -> Model:
    """Load the crate's model.

    Raises:
        RunError: If torch or the device is missing, or the file is missing or refused.
    """
    try:
        import torch
        from contract import parse_contract
        from torch_runtime import on_arrays, prepare
    except (ImportError, OSError) as error:
        raise absent(error, "requirements-torchscript.txt") from error
    path = model_file(crate, MODEL)
    prepare(work, device, is_small(path))
    extra = {CONTRACT: b""}
    try:
        with warnings.catch_warnings():  # TorchScript is deprecated and what LibTorch loads
            warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
            module = torch.jit.load(path, device, extra)
            contract = parse_contract(extra[CONTRACT])
            if work == "many" and device == "cpu":
                module = _optimized(module)
    except (RuntimeError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise RunError(RUNNER, f"torch {torch.__version__} refused {path}: {reason}") from error
    if work == "one":  # compiling for a second call would take longer than the first
        torch._C._set_graph_executor_optimize(False)

    def call(tensors: list[torch.Tensor | None]) -> Any:
        answers = module(*tensors)
        return answers if isinstance(answers, tuple) else (answers,)

    return Model(contract, on_arrays(call, device))


def _optimized(module: Any) -> Any:
    """Return `module` with its layers fused for the processor, or itself where that fails."""
    import torch

    try:
        return torch.jit.optimize_for_inference(module)
    except RuntimeError:  # an operator that oneDNN's fusions do not foresee
        return module


if __name__ == "__main__":
    leave(main("torchscript", load))
