"""torchvision beside a torch for which its compiled operators were not made."""

import torch


def declare_missing_operators() -> None:
    """Let torchvision be imported beside a torch for which its operators were not compiled.

    Its import registers fake kernels for `nms` and `qnms` and fails when nobody declared them.
    """
    for schema in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        name = schema.split("(")[0]
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", schema[len(name) :])
