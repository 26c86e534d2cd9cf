"""Inputs of some tens judge how a format was made, if the network is for such inputs."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import Tensor, nn

from torchcrate.export.doctor.examine import examine
from torchcrate.export.findings import Format
from torchcrate.export.models import export_models
from torchcrate.model import weights
from torchcrate.model.spec import ModelSpec


class Shares(nn.Module):
    """A softmax by hand, which is NaN where exp overflows: from 30 on, in float16 from 11 on."""

    def forward(self, x: Tensor) -> Tensor:
        powers = (x if x.dtype == torch.float16 else 3 * x).exp()
        return powers / powers.sum(-1, keepdim=True)


class LogOfSigmoid(nn.Module):
    """Finite at some tens in torch, and -inf in ONNX Runtime."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.log(torch.sigmoid(2 * x))


class Cancelling(nn.Module):
    """A small difference of sums that grow with the inputs' sixth power."""

    def forward(self, x: Tensor) -> Tensor:
        many = torch.cat([(0.3 * x) ** 6 * (1 + 0.01 * n) for n in range(100)], 1)
        return x + 0.01 * (many.sum(1, keepdim=True) - many.flip(1).sum(1, keepdim=True))


class Refusing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if not bool(x.abs().max() < 20):
            raise ValueError("normalise it")
        return 2 * x


class Flat(nn.Module):
    """Answers alike to all that is usual."""

    def forward(self, x: Tensor) -> Tensor:
        return (1e-7 * x).expm1()


def spec(build: type[nn.Module], dtype: str = "float32") -> ModelSpec:
    return ModelSpec("net", build, (f"x:{dtype}[batch,9]",))


def exported(of: ModelSpec, folder: Path) -> dict[str, Format]:
    found = export_models(weights.load(of), of, folder).findings
    return {form.name: form for form in found.formats}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_network_that_is_nan_at_some_tens_alone_is_exported(tmp_path: Path, dtype: str) -> None:
    found = exported(spec(Shares, dtype), tmp_path)

    assert [form.way for form in found.values()] == ["source", "script", "onnx"]


def test_a_network_that_refuses_some_tens_is_exported(tmp_path: Path) -> None:
    assert exported(spec(Refusing), tmp_path)["torchscript"].way == "script"


def test_a_format_that_is_infinite_where_the_network_is_not_is_left_out(tmp_path: Path) -> None:
    found = exported(spec(LogOfSigmoid), tmp_path)

    assert found["torchscript"].way == "script"
    assert "output at wide is not finite where eager is" in found["onnx"].reason


def test_rounding_at_some_tens_leaves_no_format_out(tmp_path: Path) -> None:
    found = exported(spec(Cancelling), tmp_path)

    assert found["onnx"].way == "onnx"
    (trial,) = found["onnx"].trials
    assert trial.largest is not None
    assert trial.largest <= 1e-4


def test_golden_vectors_are_of_a_usual_scale(tmp_path: Path) -> None:
    exported(spec(LogOfSigmoid), tmp_path)

    held = safetensors.numpy.load_file(tmp_path / "golden.safetensors")
    assert max(np.abs(each).max() for name, each in held.items() if name.endswith(".x")) < 20


def test_answers_that_vary_at_some_tens_alone_are_said_to_prove_little(tmp_path: Path) -> None:
    found = exported(spec(Flat), tmp_path)

    assert "that proves little" in found["onnx"].trials[0].reason


def test_the_doctor_finds_no_fault_in_a_network_that_is_nan_at_some_tens_alone() -> None:
    found = examine(spec(Shares))

    assert not [check.words() for check in found.checks if check.state == "fault"]
