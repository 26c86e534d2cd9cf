"""Answer with a crate's model.pth: the network's own Python, beside this file, and its weights."""

import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from command import main
from runtime import RUNNER, Array, RunError, Model, absent, model_file, parse_contract

MODEL = "model.pth"
CONTRACT = "model/extra/contract.json"  # the entry inside it


def load(crate: Path) -> Model:
    """Build the network of net.py and preprocess.py, and load the crate's weights into it.

    Raises:
        RunError: If torch is missing or broken, or the file is missing or refused.
    """
    try:
        import torch
        from net import Net
        from preprocess import Preprocess
    except (ImportError, OSError) as error:
        raise absent(error, "requirements-eager.txt") from error
    path = model_file(crate, MODEL)
    network = Net()
    try:
        network.load_state_dict(torch.load(path, "cpu", weights_only=True))
        with zipfile.ZipFile(path) as archive:
            inside = CONTRACT in archive.namelist()
            contract = parse_contract(archive.read(CONTRACT) if inside else "")
    except Exception as error:  # damaged archives raise whatever their bytes led to
        reason = str(error).split("\n")[0]
        raise RunError(RUNNER, f"torch {torch.__version__} refused {path}: {reason}") from error
    module = torch.nn.Sequential(Preprocess(), network).eval()

    @torch.inference_mode()
    def run(given: Sequence[Array]) -> Sequence[Array]:
        return [module(*map(torch.from_numpy, given)).numpy()]

    return Model(contract, run)


if __name__ == "__main__":
    sys.exit(main("eager", load))
