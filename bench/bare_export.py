"""The bare calls of `torch.jit` and `torch.onnx.export` for the default network, nothing else.

python -m torchcrate.bench.bare_export OUT WEIGHTS.pth
"""

import sys

import torch
from torch import nn

from torchcrate.model.net import Net
from torchcrate.model.preprocess import Preprocess


def main(out: str, weights: str) -> int:
    """Write model.pt and model.onnx into `out`."""
    network = Net()
    network.load_state_dict(torch.load(weights, weights_only=True))
    module = nn.Sequential(Preprocess(), network).eval()
    torch.jit.script(module).save(f"{out}/model.pt")
    axes = {"batch": 0, "height": 2, "width": 3}
    shapes = ({at: torch.export.Dim(axis, min=1) for axis, at in axes.items()},)
    torch.onnx.export(
        module,
        (torch.zeros(3, 1, 57, 91, dtype=torch.uint8),),
        f"{out}/model.onnx",
        input_names=["image"],
        output_names=["log_probs"],
        dynamic_shapes=shapes,
        external_data=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
