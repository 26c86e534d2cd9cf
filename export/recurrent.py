"""Recurrent layers stay one operator in a graph, however long a sequence its example has."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.fx.experimental._config
from onnxscript import opset20
from onnxscript.function_libs.torch_lib.tensor_typing import TFloat
from torch import Tensor
from torch.export import _patches

op: Any = opset20  # its types know no lists of sizes


@contextmanager
def unrolled_never() -> Iterator[None]:
    """Let recurrent layers be one operator, not as many steps as the example has."""
    with ExitStack() as stack:
        stack.enter_context(_patches.register_lstm_while_loop_decomposition())
        stack.enter_context(_patches.register_gru_while_loop_decomposition())
        for each in TRANSLATIONS:
            registered = _patches._register_rnn_while_loop_decomposition(each, _shapes)
            stack.enter_context(registered)
        # Sizes 0 and 1 are sizes like others, as torch.onnx.export sets it.
        patched = torch.fx.experimental._config.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
        stack.enter_context(patched)
        yield


def _shapes(
    x: Tensor,
    hidden: Tensor,
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor]:
    """Return what is like the answers of nn.RNN in shape and dtype: a graph asks no more."""
    width = hidden.shape[2] * (2 if bidirectional else 1)
    return x.new_empty((*x.shape[:2], width)), torch.empty_like(hidden)


def _translation(activation: str) -> Callable[..., Any]:
    """Return what says nn.RNN in ONNX, one operator a layer: the exporter itself has none."""

    def rnn(
        x: TFloat,
        hidden: TFloat,
        params: Sequence[TFloat],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[TFloat, TFloat]:
        shape: Any = hidden.shape
        directions, size, lasts = 2 if bidirectional else 1, shape[2], []
        count = 4 if has_biases else 2  # of tensors a direction, those for the input first
        x = op.Transpose(x, perm=[1, 0, 2]) if batch_first else x
        for first in range(0, num_layers * directions, directions):
            own = [params[count * (first + each) :][:count] for each in range(directions)]
            taken, kept, *biases = (
                op.Concat(*(op.Unsqueeze(each, [0]) for each in same), axis=0)
                for same in zip(*own, strict=True)
            )
            x, last = op.RNN(
                x,
                taken,
                kept,
                op.Concat(*biases, axis=1) if biases else None,
                None,  # all sequences are of one length
                op.Slice(hidden, [first], [first + directions], [0]),
                activations=[activation] * directions,
                direction="bidirectional" if bidirectional else "forward",
                hidden_size=size,
            )
            # (time, directions, batch, size) to (time, batch, directions * size); 0 keeps a size
            x = op.Reshape(op.Transpose(x, perm=[0, 2, 1, 3]), [0, 0, directions * size])
            lasts.append(last)
        x = op.Transpose(x, perm=[1, 0, 2]) if batch_first else x
        return x, op.Concat(*lasts, axis=0)

    return rnn


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.rnn_tanh.input: _translation("Tanh"),
    torch.ops.aten.rnn_relu.input: _translation("Relu"),
}
"""What `torch.onnx.export` has to be told of, as its `custom_translation_table`."""
