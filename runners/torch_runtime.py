"""What the runners on torch share: devices, threads, arrays that become tensors and come back."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from runtime import CONTRACT, RUNNER, Array, RunError, Work


def prepare(work: Work, device: str, small: bool) -> None:
    """Let torch use as many threads as `work` on a small model, or on a large one, deserves.

    Raises:
        RunError: If there is no such device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        line = f"torch {torch.__version__} finds no CUDA device here: leave --device out"
        raise RunError(RUNNER, line)
    if device == "cuda":  # whole float32: TF32, a card's own choice, has ten bits of mantissa
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    if work == "many" or (small and work != "exact"):
        torch.set_num_threads(1)  # of "many" each call has a thread of its own already


def on_arrays(
    call: Callable[[list[Tensor | None]], Sequence[Any]], device: str
) -> Callable[[Sequence[Array | None]], list[Array]]:
    """Return `call`, which takes and returns tensors on `device`, as a function of arrays."""
    on_cpu = device == "cpu"

    @torch.inference_mode()
    def run(given: Sequence[Array | None]) -> list[Array]:
        tensors = [None if one is None else torch.from_numpy(one) for one in given]
        if not on_cpu:
            tensors = [None if one is None else one.to(device) for one in tensors]
        return [_array(answer) for answer in call(tensors)]

    return run


def _array(answer: Any) -> Array:
    """Return an answer's numbers.

    Raises:
        RunError: If numpy has no such dtype, or it is no tensor.
    """
    if not isinstance(answer, Tensor):
        raise RunError(CONTRACT, f"the model answers with a {type(answer).__name__}, not a tensor")
    try:
        return answer.numpy()
    except (TypeError, RuntimeError):  # of another device, sparse, conjugated; or no such dtype
        if answer.dtype == torch.bfloat16 or answer.is_quantized:
            kind = str(answer.dtype).removeprefix("torch.")
            line = f"the model answers with {kind}, no contract has that"
            raise RunError(CONTRACT, line) from None
        return np.asarray(answer.to_dense().resolve_conj().resolve_neg().cpu().numpy())
