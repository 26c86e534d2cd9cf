"""Answer with a crate's model.pt, a TorchScript archive, in Python."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from command import main
from runtime import RUNNER, Array, RunError, Model, absent, model_file, parse_contract

MODEL = "model.pt"
CONTRACT = "contract.json"  # the extra file inside it


def load(crate: Path) -> Model:
    """Load the crate's model.

    Raises:
        RunError: If torch is missing or broken, or the file is missing or refused.
    """
    try:
        import torch
    except (ImportError, OSError) as error:
        raise absent(error, "requirements-torchscript.txt") from error
    path = model_file(crate, MODEL)
    extra = {CONTRACT: b""}
    try:
        with warnings.catch_warnings():  # TorchScript is deprecated and what LibTorch loads
            warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated")
            module = torch.jit.load(path, "cpu", extra)
        contract = parse_contract(extra[CONTRACT])
    except (RuntimeError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise RunError(RUNNER, f"torch {torch.__version__} refused {path}: {reason}") from error

    @torch.inference_mode()
    def run(given: Sequence[Array]) -> Sequence[Array]:
        answers = module(*map(torch.from_numpy, given))
        return [
            answer.numpy() for answer in (answers if isinstance(answers, tuple) else (answers,))
        ]

    return Model(contract, run)


if __name__ == "__main__":
    sys.exit(main("torchscript", load))
