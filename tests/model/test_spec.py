"""A description of a network is held to its own rules, whoever changes it."""

import pytest

from torchcrate.errors import UsageError
from torchcrate.model.digits import MNIST


def test_other_tolerances_replace_those_that_are_named_and_no_others():
    changed = MNIST.tolerating({"onnx": 0.5})

    assert changed.tolerances == {**MNIST.tolerances, "onnx": 0.5}
    assert MNIST.tolerances["onnx"] == 2e-5


def test_a_tolerance_of_no_runtime_is_refused():
    with pytest.raises(UsageError, match=r"names 'tpu', which is none of eager, "):
        MNIST.tolerating({"tpu": 1.0})
