"""Weights load from plain state_dicts and from nothing else, and faults are named."""

import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from torchcrate.errors import ContractError
from torchcrate.model.digits import MNIST
from torchcrate.model.net import Net
from torchcrate.model.spec import ModelSpec
from torchcrate.model.weights import load


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def test_a_state_dict_trained_elsewhere_loads(path: Path) -> None:
    theirs = Net()
    torch.save(theirs.state_dict(), path)

    ours = load(MNIST, path)

    assert torch.equal(ours.network.fc2.weight, theirs.fc2.weight)
    assert not any(part.training for part in ours.module.modules())


def test_the_network_has_the_parameters_of_the_tutorial() -> None:
    names = {key.partition(".")[0] for key in Net().state_dict()}

    assert names == {"conv1", "conv2", "fc1", "fc2"}
    assert sum(parameter.numel() for parameter in Net().parameters()) == 21_840


def test_wrong_keys_and_shapes_are_listed(path: Path) -> None:
    state = Net().state_dict()
    state["fc3.bias"] = state.pop("fc2.bias")
    state["fc1.bias"] = torch.zeros(7)
    state["conv1.bias"] = state["conv1.bias"].double()
    state["conv2.bias"][3] = float("nan")
    torch.save(state, path)

    with pytest.raises(ContractError) as caught:
        load(MNIST, path)

    for word in ("fc2.bias is missing", "fc3.bias is unknown", "(7,), not (50,)"):
        assert word in str(caught.value)
    assert "conv1.bias has dtype" in str(caught.value)
    assert "conv2.bias holds NaN" in str(caught.value)


@pytest.mark.parametrize("before", ["module.", "_orig_mod.", "module._orig_mod."])
def test_names_behind_a_wrapper_are_those_of_the_network(path: Path, before: str) -> None:
    theirs = Net()
    torch.save({f"{before}{name}": one for name, one in theirs.state_dict().items()}, path)

    ours = load(MNIST, path)

    assert torch.equal(ours.network.fc2.weight, theirs.fc2.weight)


class Wrapping(torch.nn.Module):
    """Has a part of the name that DataParallel gives."""

    def __init__(self) -> None:
        super().__init__()
        self.module = torch.nn.Linear(3, 3)


def test_names_that_the_network_has_itself_stay_as_they_are(path: Path) -> None:
    theirs = Wrapping()
    torch.save(theirs.state_dict(), path)

    ours = load(ModelSpec("wrapping", Wrapping, ("x:float32[batch,3]",)), path)

    assert torch.equal(ours.network.module.weight, theirs.module.weight)


def test_a_checkpoint_of_more_than_the_network_is_refused_in_a_short_line(path: Path) -> None:
    more = {f"model.{name}": one for name, one in Net().state_dict().items()}
    torch.save({**more, "loss.weight": torch.ones(3)}, path)

    with pytest.raises(ContractError) as caught:
        load(MNIST, path)

    said = str(caught.value)
    assert said.count(" is missing; ") == 5
    assert said.endswith(
        "; 12 more: all that is missing is there under model, save model.state_dict() alone"
    )


def test_a_network_without_shapes_is_refused_in_one_line() -> None:
    sizes = {"out_features": 2}
    lazy = ModelSpec("lazy", torch.nn.LazyLinear, ("x:float32[n,3]",), arguments=sizes)

    with pytest.raises(ContractError, match="whose weight has no shape yet: let it call"):
        load(lazy)


class Quantized(torch.nn.Linear):
    """Holds what the layers of torch.ao.quantization hold beside tensors."""

    def get_extra_state(self) -> object:
        return torch.qint8

    def set_extra_state(self, state: object) -> None:
        del state


def test_a_network_that_holds_more_than_tensors_is_refused() -> None:
    sizes = {"in_features": 3, "out_features": 2}
    packed = ModelSpec("packed", Quantized, ("x:float32[n,3]",), arguments=sizes)

    with pytest.raises(ContractError, match="holds _extra_state, a dtype and no tensor, as layers"):
        load(packed)


class Masked(torch.nn.Linear):
    """Holds a mask as attention has it, under two names, as one part may share it with another."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))
        self.register_buffer("again", self.mask)


MASKED = ModelSpec("masked", Masked, ("x:float32[batch,3]",))


@pytest.mark.parametrize("name", ["mask", "again"])
def test_a_buffer_may_hold_infinities_as_masks_do(path: Path, name: str) -> None:
    state = Masked().state_dict()
    state[name][0, 0] = torch.inf
    torch.save(state, path)

    loaded = load(MASKED, path)

    assert torch.equal(loaded.network.state_dict()[name], state[name])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("mask", torch.nan, "buffer mask holds NaN"),
        ("weight", torch.inf, "weight holds NaN or infinity"),
        ("bias", torch.nan, "bias holds NaN or infinity"),
    ],
)
def test_nan_is_refused_anywhere_and_infinity_in_parameters(
    path: Path, name: str, value: float, words: str
) -> None:
    state = {key: one.clone() for key, one in Masked().state_dict().items()}
    state[name].flatten()[-1] = value
    torch.save(state, path)

    with pytest.raises(ContractError) as caught:
        load(MASKED, path)

    assert str(caught.value) == f"{path} does not fit Masked: {words}"


def sparse(weights: torch.Tensor) -> torch.Tensor:
    return weights.to_sparse()


def compressed(weights: torch.Tensor) -> torch.Tensor:
    return weights.to_sparse_csr()


def on_meta(weights: torch.Tensor) -> torch.Tensor:
    return weights.to("meta")


def quantized(weights: torch.Tensor) -> torch.Tensor:
    return torch.quantize_per_tensor(weights, 0.1, 0, torch.qint8)


def nested(weights: torch.Tensor) -> torch.Tensor:
    return torch.nested.nested_tensor([weights[0], weights[1][:3]])


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (sparse, "stored as sparse_coo"),
        (compressed, "stored as sparse_csr"),
        (on_meta, "without values"),
        (quantized, "quantized"),
        (nested, "nested"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_tensor_of_another_kind_is_refused_by_its_key(
    path: Path, kind: Callable[[torch.Tensor], torch.Tensor], word: str
) -> None:
    state = Net().state_dict()
    with warnings.catch_warnings():  # that these kinds are young or old is not the point
        warnings.simplefilter("ignore")
        state["fc1.weight"] = kind(state["fc1.weight"])
        torch.save(state, path)

    with pytest.raises(ContractError, match=rf"fc1\.weight is {word}.*not a dense tensor"):
        load(MNIST, path)


READ_ALL = """
import sys, pathlib
from torchcrate.errors import ContractError
from torchcrate.model.digits import MNIST
from torchcrate.model.weights import load
for path in sys.argv[1:]:
    try: load(MNIST, pathlib.Path(path))
    except ContractError as error: print(error)
"""


def test_a_refused_file_brings_no_warnings_of_torchs_own(tmp_path: Path) -> None:
    """Torch says them once a process, so that a fresh one has to read the files."""
    files = [tmp_path / "compressed.pth", tmp_path / "quantized.pth", tmp_path / "script.pt"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file, kind in zip(files, (compressed, quantized), strict=False):
            torch.save({"fc1.bias": kind(torch.zeros(4, 4))}, file)
        torch.jit.save(torch.jit.script(Net().eval()), files[2])

    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, *files], capture_output=True, text=True, check=False
    )

    assert done.stdout.count(str(tmp_path)) == len(files)
    assert done.stderr == ""


def test_a_torchscript_archive_is_called_one(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        torch.jit.save(torch.jit.script(Net().eval()), path)

    with pytest.raises(ContractError, match=r"is a TorchScript archive: name the state_dict"):
        load(MNIST, path)


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
        load(MNIST, path)

    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    "data", [b"", b"not a checkpoint", b"hello, this is a text\n", pickle.dumps([1])], ids=len
)
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(path: Path, data: bytes) -> None:
    path.write_bytes(data)

    with pytest.raises(ContractError) as caught:
        load(MNIST, path)

    assert str(path) in str(caught.value)
    assert "torch.save(model.state_dict(), path)" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_checkpoint_is_refused(path: Path) -> None:
    whole = MNIST.checkpoint.read_bytes()

    for length in range(1, len(whole), len(whole) // 20):
        path.write_bytes(whole[:length])
        with pytest.raises(ContractError):
            load(MNIST, path)


def test_a_missing_checkpoint_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(ContractError, match="torchcrate train"):
        load(MNIST, path)
