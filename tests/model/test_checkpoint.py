"""Weights load from plain state_dicts and from nothing else, and faults are named."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from torchcrate.errors import ContractError
from torchcrate.model.checkpoint import load
from torchcrate.model.net import Net
from torchcrate.model.spec import MNIST


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def test_a_state_dict_trained_elsewhere_loads(path: Path) -> None:
    theirs = Net()
    torch.save(theirs.state_dict(), path)

    ours = load(path)

    assert torch.equal(ours[1].fc2.weight, theirs.fc2.weight)
    assert not any(part.training for part in ours.modules())


def test_the_network_has_the_parameters_of_the_tutorial() -> None:
    names = {key.partition(".")[0] for key in Net().state_dict()}

    assert names == {"conv1", "conv2", "fc1", "fc2"}
    assert sum(parameter.numel() for parameter in Net().parameters()) == 21_840


def test_every_wrong_key_and_shape_is_listed(path: Path) -> None:
    state = Net().state_dict()
    state["fc3.bias"] = state.pop("fc2.bias")
    state["fc1.bias"] = torch.zeros(7)
    state["conv1.bias"] = state["conv1.bias"].double()
    state["conv2.bias"][3] = float("nan")
    torch.save(state, path)

    with pytest.raises(ContractError) as caught:
        load(path)

    for word in ("fc2.bias is missing", "fc3.bias is unknown", "(7,), not (50,)"):
        assert word in str(caught.value)
    assert "conv1.bias has dtype" in str(caught.value)
    assert "conv2.bias holds NaN" in str(caught.value)


class Hostile:
    def __reduce__(self) -> object:
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (Net(), "torchcrate.model.net.Net"),
        ({"weights": Hostile()}, "mkdir"),
        ({"epoch": 3}, "not a state_dict"),
        ([1], "not a state_dict"),
    ],
    ids=["whole model", "hostile", "training checkpoint", "list"],
)
def test_a_file_that_needs_more_is_refused_by_name(
    path: Path, content: object, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    torch.save(content, path)

    with pytest.raises(ContractError, match=word):
        load(path)

    assert not Path("pwned").exists()


@pytest.mark.parametrize("data", [b"", b"not a checkpoint", pickle.dumps([1])], ids=len)
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(path: Path, data: bytes) -> None:
    path.write_bytes(data)

    with pytest.raises(ContractError) as caught:
        load(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_checkpoint_is_refused(path: Path) -> None:
    whole = MNIST.checkpoint.read_bytes()

    for length in range(1, len(whole), len(whole) // 20):
        path.write_bytes(whole[:length])
        with pytest.raises(ContractError):
            load(path)


def test_a_missing_checkpoint_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(ContractError, match="torchcrate train"):
        load(path)


def _sparse(state: dict[str, torch.Tensor]) -> None:
    state["fc1.weight"] = state["fc1.weight"].to_sparse()


def _meta(state: dict[str, torch.Tensor]) -> None:
    state["fc1.weight"] = state["fc1.weight"].to("meta")


def _quantized(state: dict[str, torch.Tensor]) -> None:
    state["fc1.weight"] = torch.quantize_per_tensor(state["fc1.weight"], 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("change", "word"),
    [(_sparse, "sparse_coo"), (_meta, "meta"), (_quantized, "quantized")],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore:torch.(ao.)?quantiz", "ignore:TypedStorage")
def test_tensors_that_are_not_plain_are_refused_by_key(
    path: Path, change: Callable[[dict[str, torch.Tensor]], None], word: str
) -> None:
    state = Net().state_dict()
    change(state)
    torch.save(state, path)

    with pytest.raises(ContractError, match=rf"fc1\.weight is a {word} tensor"):
        load(path)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_torchscript_archive_is_called_one(path: Path) -> None:
    torch.jit.script(Net()).save(path)

    with pytest.raises(ContractError, match="is a TorchScript archive") as caught:
        load(path)

    assert "\n" not in str(caught.value)
