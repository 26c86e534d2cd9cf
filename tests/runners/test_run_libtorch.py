"""The C++ program on small models: what it answers and refuses, and that its selftest bites."""

import json
import os
import subprocess
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from numpy.typing import NDArray
from PIL import Image

from torchcrate.model.contract import Contract, TensorSpec

IMAGE = TensorSpec("image", "uint8", ("batch", 1, "height", "width"), 0, 255, "image")
SCORES = TensorSpec("scores", "float32", ("batch", 3), None, None, "log-probabilities")
SUM = TensorSpec("sum", "int64", ("batch",), None, None, "sum of pixels")
WORDS = Contract((IMAGE,), (SCORES, SUM), ("dark", "middle", "light"))

Run = Callable[..., "subprocess.CompletedProcess[str]"]


class Bright(torch.nn.Module):
    """Scores how dark, middle or light an image is, and sums its pixels."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scores (N, 3) and sums (N,) of images (N, 1, H, W)."""
        light = image.to(torch.float32).mean(dim=(1, 2, 3)) / 255
        off = torch.stack((light, (light - 0.5).abs(), 1 - light), dim=1)
        return torch.log_softmax(-4 * off, dim=1), image.to(torch.int64).sum(dim=(1, 2, 3))


@pytest.fixture
def run(libtorch: Path, tmp_path: Path) -> Run:
    """Run the program on the crate in `tmp_path`, from there."""

    def start(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [libtorch, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return start


@pytest.fixture
def golden(tmp_path: Path) -> dict[str, NDArray[np.generic]]:
    """A crate's model.pt and golden vectors in `tmp_path`; the vectors are returned."""
    save(tmp_path, {"contract.json": WORDS.dump()})
    rng = np.random.default_rng(0)
    tensors: dict[str, NDArray[np.generic]] = {}
    for batch, height, width in ((1, 1, 1), (2, 5, 9), (7, 28, 28)):
        case = f"{batch}x{height}x{width}"
        image = rng.integers(0, 256, (batch, 1, height, width), dtype=np.uint8)
        scores, total = Bright()(torch.from_numpy(image))
        tensors |= {f"{case}.image": image, f"{case}.scores": scores.numpy()}
        tensors[f"{case}.sum"] = total.numpy()
    return tensors


def save(folder: Path, extra: dict[str, bytes]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        torch.jit.save(torch.jit.script(Bright().eval()), folder / "model.pt", _extra_files=extra)


def write_golden(folder: Path, tensors: dict[str, NDArray[np.generic]], limits: str) -> None:
    safetensors.numpy.save_file(tensors, folder / "golden.safetensors", {"limits": limits})


def test_all_outputs_of_all_cases_are_answered(
    run: Run, golden: dict[str, NDArray[np.generic]], tmp_path: Path
) -> None:
    inputs = {name: tensor for name, tensor in golden.items() if name.endswith(".image")}
    safetensors.numpy.save_file(inputs, tmp_path / "in.safetensors")

    done = run("--tensors", "in.safetensors", "--out", "out.safetensors")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    got = safetensors.numpy.load_file(tmp_path / "out.safetensors")
    assert got.keys() == golden.keys() - inputs.keys()
    for name, answer in got.items():
        assert answer.dtype == golden[name].dtype
        assert answer.tobytes() == golden[name].tobytes()
    assert not list(tmp_path.glob("*.partial"))


def test_the_selftest_passes_on_sound_vectors(
    run: Run, golden: dict[str, NDArray[np.generic]], tmp_path: Path
) -> None:
    write_golden(tmp_path, golden, '{"libtorch": 1e-6}')

    done = run("--selftest")

    assert done.stderr == ""
    assert done.stdout == "selftest passed: 3 vectors, worst 0.0e+00 at 1x1x1, limit 1.0e-06\n"
    assert done.returncode == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 1e-4])
@pytest.mark.parametrize("case", ["1x1x1", "7x28x28"])
def test_one_wrong_score_is_caught(
    run: Run,
    golden: dict[str, NDArray[np.generic]],
    tmp_path: Path,
    case: str,
    value: float,
) -> None:
    scores = golden[f"{case}.scores"].copy()
    scores[-1, 1] = scores[-1, 1] + value if value == 1e-4 else value
    write_golden(tmp_path, golden | {f"{case}.scores": scores}, '{"libtorch": 1e-6}')

    done = run("--selftest")

    assert done.returncode == 5
    assert done.stdout == ""
    assert done.stderr.startswith("Error: selftest failed: 3 vectors, worst ")
    assert f" at {case}, limit 1.0e-06" in done.stderr


def test_a_wrong_sum_is_caught(
    run: Run, golden: dict[str, NDArray[np.generic]], tmp_path: Path
) -> None:
    write_golden(tmp_path, golden | {"2x5x9.sum": golden["2x5x9.sum"] + 1}, '{"libtorch": 1e-6}')

    done = run("--selftest")

    assert done.returncode == 5
    assert "at 2x5x9" in done.stderr


@pytest.mark.parametrize("limits", ["", "{", "[]", "{}", '{"onnx": 1}', '{"libtorch": "1"}'])
def test_vectors_without_our_limit_are_refused(
    run: Run, golden: dict[str, NDArray[np.generic]], tmp_path: Path, limits: str
) -> None:
    write_golden(tmp_path, golden, limits)

    done = run("--selftest")

    assert done.returncode == 3
    assert done.stderr == "Error: ./golden.safetensors has no limit for libtorch\n"


@pytest.mark.parametrize("lost", ["2x5x9.image", "2x5x9.sum"])
def test_a_lost_golden_tensor_is_named(
    run: Run, golden: dict[str, NDArray[np.generic]], tmp_path: Path, lost: str
) -> None:
    del golden[lost]
    write_golden(tmp_path, golden, '{"libtorch": 1e-6}')

    done = run("--selftest")

    assert (done.returncode, done.stderr) == (3, f"Error: tensor {lost} is missing\n")


@pytest.mark.parametrize(
    "contract",
    [
        None,
        b"",
        b"{}",
        Contract((IMAGE,), (SCORES,), ("a", "b", "c")).dump(),
        Contract((IMAGE,), (SUM, SCORES), ("a", "b", "c")).dump(),
        Contract((IMAGE, IMAGE), (SCORES, SUM), ("a", "b", "c")).dump(),
        Contract((IMAGE,), (SCORES, SUM), ("a", "b")).dump(),
        Contract((replace(IMAGE, dtype="int16"),), (SCORES, SUM), ("a", "b", "c")).dump(),
    ],
    ids=[
        "none",
        "empty",
        "no-inputs",
        "one-output",
        "swapped",
        "two-inputs",
        "two-labels",
        "int16",
    ],
)
@pytest.mark.usefixtures("golden")
def test_a_contract_that_the_model_does_not_keep_is_refused(
    run: Run, tmp_path: Path, contract: bytes | None
) -> None:
    save(tmp_path, {} if contract is None else {"contract.json": contract})
    Image.new("L", (5, 5)).save(tmp_path / "a.png")

    done = run("--image", "a.png")

    assert done.returncode in (2, 3, 6)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("golden")
def test_images_are_answered_in_the_order_asked(run: Run, tmp_path: Path) -> None:
    sizes = {"c.png": (5, 5), "a.png": (5, 5), "b.png": (9, 2), "é [1].png": (5, 5)}
    for name, size in sizes.items():
        Image.new("L", size, 255 if name == "a.png" else 0).save(tmp_path / name)
    (tmp_path / "torn.png").write_bytes((tmp_path / "a.png").read_bytes()[:-1])

    lines = run("--image", "é [1].png", "--image", "[a-t]*.png", "--image", "no*").stdout
    done = run("--image", "é [1].png", "--image", "[a-t]*.png", "--image", "no*", "--json")

    assert lines.splitlines()[:3] == [
        "Image is a dark (86.7 %)  é [1].png",
        "Image is a light (86.7 %)  a.png",
        "Image is a dark (86.7 %)  b.png",
    ]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["path"] for row in rows] == [
        "é [1].png",
        "a.png",
        "b.png",
        "c.png",
        "torn.png",
        "no*",
    ]
    assert [row.get("label") for row in rows] == ["dark", "light", "dark", "dark", None, None]
    want = Bright()(torch.zeros(1, 1, 5, 5, dtype=torch.uint8))[0].numpy()[0]
    assert np.array_equal(np.array(rows[0]["scores"], np.float32), want)
    assert [row.get("sum") for row in rows] == [0, 255 * 25, 0, 0, None, None]
    assert rows[4]["error"].startswith("torn.png: truncated at byte ")
    assert done.stderr == f"Error: {rows[4]['error']}\nError: {rows[5]['error']}\n"
    assert done.returncode == 1


@pytest.mark.usefixtures("golden")
@pytest.mark.parametrize("threads", ["1", "4"])
def test_many_images_come_in_order_with_what_is_refused_among_them(
    libtorch: Path, tmp_path: Path, threads: str
) -> None:
    for i in range(700):
        Image.new("L", (4 + i % 400 // 100, 4), i % 256).save(tmp_path / f"{i:03}.png")
    for i in (0, 77, 350, 351, 699):
        (tmp_path / f"{i:03}.png").write_bytes(b"torn")

    command = [libtorch, "--image", "*.png", "--json"]
    env = {**os.environ, "OMP_NUM_THREADS": threads}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False)

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    grey = (torch.arange(700) % 256).to(torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    want = Bright()(grey)[0].numpy()
    assert [row["path"] for row in rows] == [f"{i:03}.png" for i in range(700)]
    refused = [i for i, row in enumerate(rows) if "error" in row]
    assert refused == [0, 77, 350, 351, 699]
    assert done.stderr.splitlines() == [f"Error: {rows[i]['error']}".encode() for i in refused]
    assert done.returncode == 1
    for i, row in enumerate(rows):
        if i not in refused:
            assert np.allclose(row["scores"], want[i], rtol=0, atol=1e-6), i
            assert row["sum"] == i % 256 * 4 * (4 + i % 400 // 100)
