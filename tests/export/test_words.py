"""What torch says in pages becomes one line, with the line of the user's own code in it."""

import inspect

import pytest
import torch
from torch import Tensor, nn

from torchcrate.errors import ExportError
from torchcrate.export import to_torchscript
from torchcrate.export.doctor.locate import quieted
from torchcrate.export.messages import parted
from torchcrate.export.words import frozen_words, reason_of
from torchcrate.model.contract import Contract, tensor


class Singular(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.svd(x).S


class Deciding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x * 2
        return x


class Counting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        turns = int(x.abs().sum().item()) % 5 + 1
        for _ in range(turns):
            x = x * 2
        return x


class Trying(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        try:
            return x.view(-1, 4)
        except RuntimeError:
            return x


class Loose(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(4, 4)]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[0](x)


class Asserting(nn.Module):
    """Stops at an assertion of torch, of its own, and of its own said by torch."""

    def __init__(self, whose: str) -> None:
        super().__init__()
        self.whose = whose

    def forward(self, x: Tensor) -> Tensor:
        if self.whose == "torch":
            nn.MultiheadAttention(3, 1)(x, x, x)
        if self.whose == "own":
            assert self.whose == "nobody", "it is mine"
        torch._assert(False, "it is mine too")
        return x


class Looping(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([row * 2 for row in x])


def line(part: type[nn.Module], text: str) -> str:
    """Return `test_words.py:LINE (CODE)` of the line in a class that holds `text`."""
    lines, first = inspect.getsourcelines(part)
    number = next(n for n, one in enumerate(lines) if text in one)
    return f"test_words.py:{first + number} ({lines[number].strip()})"


def said(module: nn.Module, way: str) -> str:
    """Return the reason for which a bare call of torch fails."""
    example = (torch.randn(3, 4),)
    ask = {
        "onnx": lambda: torch.onnx.export(module, example, dynamic_shapes=({0: "batch"},)),
        "script": lambda: torch.jit.script(module),
        "trace": lambda: torch.jit.trace(module, example),
    }[way]
    with quieted(), pytest.raises(Exception, match=r"\S") as caught:
        ask()
    return reason_of(caught.value)


@pytest.mark.parametrize(
    ("part", "way", "words", "code"),
    [
        (Singular, "onnx", "ONNX has no operator for aten._linalg_svd at ", "linalg.svd"),
        (Deciding, "onnx", "a graph cannot hold a decision on what a tensor", "sum() > 0"),
        (Counting, "onnx", "a graph cannot hold a number that is taken out of", "item"),
        (Trying, "script", "TorchScript cannot compile at ", "try:"),
        (Loose, "trace", "a trace cannot hold a tensor that learns", "self.layers[0]"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_an_error_of_torch_is_one_line_with_the_line_of_the_network(
    part: type[nn.Module], way: str, words: str, code: str
) -> None:
    reason = said(part(), way)

    assert reason.startswith(words)
    assert line(part, code) in reason
    assert "\n" not in reason
    assert len(reason) < 400


def test_an_assertion_that_fails_inside_of_torch_is_said_in_the_users_terms() -> None:
    with pytest.raises(AssertionError) as caught:
        Asserting("torch")(torch.randn(3, 4))

    reason = reason_of(caught.value)

    place = line(Asserting, "Multihead")
    assert reason.startswith("torch stops at a check of its own at ")
    assert f"{place} (was expecting embedding dimension" in reason
    assert reason.endswith(": compute it another way, or leave the format out")
    assert parted(reason)[1] == "compute it another way, or leave the format out"


@pytest.mark.parametrize(
    ("whose", "words", "code"),
    [("own", "it is mine", "assert self"), ("another", "it is mine too", "torch._assert")],
)
def test_the_networks_own_assertion_is_said_as_it_is(whose: str, words: str, code: str) -> None:
    with pytest.raises(AssertionError) as caught:
        Asserting(whose)(torch.randn(3, 4))

    assert reason_of(caught.value).startswith(f"AssertionError: {words}")
    assert line(Asserting, code) in reason_of(caught.value)


def test_our_own_error_is_said_as_it_is() -> None:
    assert reason_of(ExportError("body is in train mode")) == "body is in train mode"


def test_what_is_not_known_is_its_first_line_with_where_the_rest_is() -> None:
    reason = reason_of(RuntimeError("one\ntwo"))

    assert reason == "RuntimeError: one (torchcrate doctor --verbose says more)"


@pytest.mark.parametrize("said", ["(a unit at: 0x55d)", "(a unit at 0x7f0)"])
def test_a_reason_has_no_address_and_is_the_same_in_every_run(said: str) -> None:
    assert reason_of(RuntimeError(f"no {said} here")) == "RuntimeError: no (a unit) here"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[ONNXRuntimeError] : 1 : FAIL : Node (x) has no input\nmore",
            "ONNX Runtime refuses it: Node (x) has no input",
        ),
        (
            "The following operation failed in the TorchScript interpreter.\n"
            "Traceback of TorchScript (most recent call last):\nRuntimeError: shape is invalid",
            "RuntimeError: shape is invalid",
        ),
        (
            "Constraints violated (batch)!\n  - You marked batch as dynamic but your code "
            "specialized it to be a constant (3).",
            "batch is baked in at 3: use no size of the input as a plain number",
        ),
    ],
    ids=["onnxruntime", "interpreter", "constraint"],
)
def test_the_line_that_matters_is_picked_from_a_text_of_many(text: str, words: str) -> None:
    assert reason_of(RuntimeError(text)).startswith(words)


@pytest.mark.parametrize(
    ("part", "kept", "code"),
    [
        (Deciding, "a decision that depends on the input at ", "sum() > 0"),
        (Counting, "a number that depends on the input at ", "item"),
        (Looping, "how many turns a loop over the input takes at ", "for row in x"),
    ],
)
def test_what_a_trace_keeps_is_named_with_its_line(
    part: type[nn.Module], kept: str, code: str
) -> None:
    contract = Contract((tensor("x:float32[batch,4]"),), (tensor("y:float32[batch,4]"),))
    made = to_torchscript.make(part().eval(), contract, "trace", {"x": torch.randn(3, 4)})

    words = frozen_words(made.frozen)

    assert words.startswith(f"the trace keeps of its example {kept}")
    assert line(part, code) in words


def test_a_trace_that_keeps_nothing_says_nothing() -> None:
    assert frozen_words([]) == ""
