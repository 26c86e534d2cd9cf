"""A large model is asked in a process of its own, and answers as it would here."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from torchcrate.export import asking, to_torchscript
from torchcrate.model.contract import Contract, tensor
from torchcrate.model.digits import DIGITS
from torchcrate.model.samples import patterns

IMAGES = [{"image": pixels} for pixels in patterns(2, 28, 28).values()]
TABLE = Contract((tensor("x:float32[rows,2]"),), (tensor("y:float32[rows,2]"),), ())


@pytest.fixture(params=[0, 2**30], ids=["own process", "here"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(asking, "LARGE", request.param)
    return int(request.param)


@pytest.fixture
def own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "LARGE", 0)


@pytest.mark.parametrize(("runtime", "name"), [("torchscript", "model.pt"), ("onnx", "model.onnx")])
def test_both_places_give_the_same_answers(
    drafted: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, name: str
) -> None:
    answers = []
    for large in (0, 2**30):
        monkeypatch.setattr(asking, "LARGE", large)
        with asking.asking(runtime, DIGITS, drafted / name) as ask:
            answers.append([ask(case) for case in IMAGES])

    for one, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(one, other)


class Talking(nn.Module):
    """Prints, and refuses some inputs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print("a word on stdout")
        if bool(x.sum() > 100):
            raise ValueError("that is too much")
        return x + 1


@pytest.fixture
def talking(tmp_path: Path) -> Path:
    made = to_torchscript.make(Talking().eval(), TABLE, "script")
    to_torchscript.save(made, TABLE, tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_a_case_that_fails_says_why_and_the_next_is_answered(talking: Path, where: int) -> None:
    few, many = ({"x": np.full((3, 2), number, np.float32)} for number in (1, 90))

    with asking.asking("torchscript", TABLE, talking) as ask:
        with pytest.raises(Exception, match="that is too much"):
            ask(many)
        (answer,) = ask(few)

    np.testing.assert_array_equal(answer, np.full((3, 2), 2, np.float32))


def test_a_file_that_cannot_be_loaded_says_why(tmp_path: Path, where: int) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")

    with (
        pytest.raises(Exception, match="Protobuf parsing failed"),
        asking.asking("onnx", TABLE, tmp_path / "model.onnx"),
    ):
        pass


def test_a_process_that_dies_is_told_apart_from_one_that_answers(
    talking: Path, own_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with (
        pytest.raises(RuntimeError, match="ended: exit code 1"),
        asking.asking("torchscript", TABLE, talking),
    ):
        pass


def test_a_module_of_the_folder_it_is_started_in_is_not_taken_for_ours(
    talking: Path, own_process: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)

    with asking.asking("torchscript", TABLE, talking) as ask:
        assert ask({"x": np.zeros((1, 2), np.float32)})[0].tolist() == [[1, 1]]
