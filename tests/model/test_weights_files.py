"""Weights come from every kind of file that training leaves, also into networks that share some."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from torchcrate.errors import ContractError
from torchcrate.model import weights
from torchcrate.model.spec import ModelSpec


class Tied(nn.Module):
    """Its table of words and its last layer are one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)
        self.out.weight = self.words.weight
        self.register_buffer("count", torch.zeros(()))


def linear() -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return nn.Linear(3, 2)


STATE = linear().state_dict()


def spec(checkpoint: Path | None = None, build: Any = linear, **more: Any) -> ModelSpec:
    return ModelSpec("net", build, ("x:float32[batch,3]",), checkpoint=checkpoint, **more)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def saved(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path


def test_safetensors_give_the_same_weights_as_pth(tmp_path: Path) -> None:
    safetensors.torch.save_file(STATE, tmp_path / "net.safetensors")

    assert same(weights.read_state(tmp_path / "net.safetensors"), STATE)
    assert same(weights.read_state(saved(tmp_path / "net.pth", STATE)), STATE)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", {"model": STATE, "epoch": 7, "optimiser": {"lr": 0.1}}),
        ("ema.model", {"ema": {"model": STATE, "decay": 0.9}, "model": {}}),
        ("a.b.c", {"a": {"b": {"c": STATE}}}),
    ],
)
def test_a_state_dict_inside_a_training_checkpoint_is_found_by_its_key(
    key: str, value: dict[str, Any], tmp_path: Path
) -> None:
    path = saved(tmp_path / "last.ckpt", value)

    assert same(weights.read_state(path, key), STATE)
    loaded = weights.load(spec(path, key=key))
    assert same(loaded.network.state_dict(), STATE)


@pytest.mark.parametrize(
    ("value", "key", "words"),
    [
        (
            {"model": STATE, "epoch": 7},
            None,
            "not a state_dict of tensors: name where it lies, --key model",
        ),
        ({"a": STATE, "b": STATE, "n": 1}, None, "--key a or --key b"),
        ({"model": STATE}, "ema", "holds nothing under 'ema': name where it lies, --key model"),
        ({"model": STATE}, "model.deeper", "holds nothing under 'model.deeper'"),
        ({"model": STATE, "epoch": 7}, "epoch", "holds int under 'epoch', not a state_dict"),
        ({"epoch": 7, "step": 1}, None, "not a state_dict of tensors: its keys are epoch, step"),
        ([STATE], None, "holds list, not a state_dict of tensors"),
        (torch.zeros(3), None, "holds Tensor, not a state_dict of tensors"),
        ({"model": {"epoch": 1}}, "model", "its keys are epoch"),
        ({1: torch.zeros(1)}, None, "not a state_dict of tensors"),
    ],
)
def test_what_is_no_state_dict_says_where_one_lies(
    value: Any, key: str | None, words: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "last.pth", value)

    with pytest.raises(ContractError, match=re.escape(words)) as refused:
        weights.read_state(path, key)

    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\xff" * 100, b"{}" + b"\0" * 20])
def test_what_is_no_safetensors_file_is_one_line(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(data)

    with pytest.raises(ContractError, match="is no whole safetensors file") as refused:
        weights.read_state(tmp_path / "net.safetensors")

    assert "\n" not in str(refused.value)


def test_a_truncated_safetensors_file_is_refused(tmp_path: Path) -> None:
    whole = safetensors.torch.save(STATE)
    (tmp_path / "net.safetensors").write_bytes(whole[:-1])

    with pytest.raises(ContractError, match="is no whole safetensors file"):
        weights.read_state(tmp_path / "net.safetensors")


def test_a_safetensors_file_has_no_keys(tmp_path: Path) -> None:
    safetensors.torch.save_file(STATE, tmp_path / "net.safetensors")

    with pytest.raises(ContractError, match="is one flat list of tensors: leave --key model away"):
        weights.read_state(tmp_path / "net.safetensors", "model")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_missing_file_is_named(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="does not exist: name a checkpoint"):
        weights.read_state(tmp_path / f"gone{suffix}")


@pytest.mark.parametrize("kept", ["words.weight", "out.weight"])
def test_one_name_of_tied_weights_is_enough(kept: str, tmp_path: Path) -> None:
    table = torch.arange(24.0).reshape(6, 4)
    path = tmp_path / "tied.safetensors"  # which keeps no tensor twice
    safetensors.torch.save_file({kept: table, "count": torch.ones(())}, path)

    network = weights.load(spec(path, Tied)).network

    assert torch.equal(network.words.weight, table)
    assert network.out.weight is network.words.weight
    assert network.count == 1


def test_without_either_name_tied_weights_are_missing(tmp_path: Path) -> None:
    path = saved(tmp_path / "tied.pth", {"count": torch.ones(())})

    with pytest.raises(ContractError, match=r"out.weight is missing; words.weight is missing"):
        weights.load(spec(path, Tied))


def test_a_network_without_a_checkpoint_is_the_same_each_time() -> None:
    torch.manual_seed(1)
    one = weights.load(ModelSpec("net", nn.Linear, ("x:float32[n,3]",), arguments=SIZE))
    before = torch.random.get_rng_state()
    torch.manual_seed(2)
    other = weights.load(ModelSpec("net", "torch.nn:Linear", ("x:float32[n,3]",), arguments=SIZE))

    assert same(one.network.state_dict(), other.network.state_dict())
    assert not torch.equal(before, torch.random.get_rng_state())


SIZE = {"in_features": 3, "out_features": 2}


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (dict, "build of net returns dict, not an nn.Module"),
        (lambda: 1 / 0, "build of net fails at tests/model/test_weights_files.py:"),
        (sys.exit, "build of net fails: SystemExit"),
        ("collections:OrderedDict", "build of net returns OrderedDict"),
        (lambda width: linear(), "missing 1 required positional argument: 'width'"),
    ],
)
def test_a_build_that_gives_no_network_is_one_line(build: Any, words: str) -> None:
    with pytest.raises(ContractError) as refused:
        weights.load(spec(build=build))

    assert words in str(refused.value)


def test_preprocessing_goes_before_the_network_and_both_are_in_eval_mode() -> None:
    loaded = weights.load(spec(preprocess=lambda: nn.Dropout(0.5)))

    assert [type(part).__name__ for part in loaded.module] == ["Dropout", "Linear"]
    assert not any(part.training for part in loaded.module.modules())
    assert loaded.module[1] is loaded.network


def test_preprocessing_that_is_no_module_is_one_line() -> None:
    with pytest.raises(ContractError, match=r"preprocess of net returns int, not an nn\.Module"):
        weights.load(spec(preprocess=lambda: 7))


def test_a_key_may_have_dots_of_its_own(tmp_path: Path) -> None:
    state = {"weight": torch.ones(2)}
    torch.save({"ema.model": state}, tmp_path / "net.pth")
    torch.save({"ema": {"model": state}}, tmp_path / "nested.pth")

    found = [weights.read_state(tmp_path / name, "ema.model") for name in ("net.pth", "nested.pth")]

    assert [list(each) for each in found] == [["weight"], ["weight"]]
