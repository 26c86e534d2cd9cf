"""Where a crate's programs are asked: on the CPU always, and on a CUDA device that is here."""

import ctypes
from functools import cache

import onnxruntime

from torchcrate.model.spec import CUDA


def devices(runtime: str, wanted: str = "") -> tuple[str, ...]:
    """Return the devices that a program is asked on, "cpu" first.

    Args:
        runtime: What it computes with.
        wanted: "cpu" for that alone; "cuda" for both, whatever is here; "" for what its runtime
            finds here.
    """
    cuda = wanted == CUDA or (not wanted and _finds_cuda(runtime))
    return ("cpu", CUDA) if cuda else ("cpu",)


def _finds_cuda(runtime: str) -> bool:
    if not _driver_finds_cuda():
        return False
    if runtime == "onnx":
        return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    import torch

    return torch.cuda.is_available()


@cache
def _driver_finds_cuda() -> bool:
    """Ask the driver, as torch takes seconds to import and most machines have none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    known = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return known and count.value > 0
