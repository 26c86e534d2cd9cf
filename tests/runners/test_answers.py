"""What is said of images, by networks of any contract: the same in Python and C++."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from handmade import contract, eager, graph, script, scripted, tensor
from onnx import TensorProto, helper
from PIL import Image
from programs import BOTH, Ask

IMAGE = tensor("image", "uint8", ["batch", 1, "h", "w"], "image")


@pytest.fixture(scope="module")
def mean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes colour images of fixed height and has no labels; with four images."""
    crate = tmp_path_factory.mktemp("mean")
    said = contract(
        [tensor("image", "uint8", ["batch", 3, 2, "width"], "image")],
        [
            tensor("mean", "float32", ["batch", 3]),
            tensor("large", "bool", ["batch", 3, 2, "width"]),
        ],
    )
    eager(crate, said, "Mean", {})
    script(crate, said, "def forward(self, image):\n return image.float().mean((2, 3)), image > 99")
    for name, shape in (("a", (2, 4, 3)), ("b", (2, 5, 3)), ("c", (3, 4, 3)), ("d", (2, 4))):
        values = np.arange(np.prod(shape)).reshape(shape) * 5
        Image.fromarray(values.astype(np.uint8)).save(crate / f"{name}.png")
    return crate


@pytest.mark.parametrize("name", ["run_eager.py", "run_libtorch"])
def test_colour_images_of_fixed_height_are_read(ask: Ask, mean: Path, name: str) -> None:
    done = ask(name, mean, "--json", "--image", "*.png", cwd=mean)

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["path"] for row in rows] == ["a.png", "b.png", "c.png", "d.png"]
    assert set(rows[0]) == {"path", "mean", "large"}
    assert rows[0]["mean"] == [52.5, 57.5, 62.5]
    assert np.array(rows[1]["large"]).shape == (3, 2, 5)
    assert rows[2] == {"path": "c.png", "error": "c.png: height 3, the contract has 2"}
    assert rows[3]["mean"] == [17.5] * 3
    assert done.stderr == "Error: c.png: height 3, the contract has 2\n"
    assert done.returncode == 1


@pytest.mark.parametrize("name", ["run_eager.py", "run_libtorch"])
def test_people_are_told_few_numbers_and_the_shape_of_many(ask: Ask, mean: Path, name: str) -> None:
    done = ask(name, mean, "--image", "a.png", cwd=mean)

    assert done.stdout == "mean [52.5, 57.5, 62.5], large bool(3, 2, 4)  a.png\n"


@pytest.mark.parametrize("name", ["run_eager.py", "run_libtorch"])
def test_a_model_that_reads_no_images_says_so(ask: Ask, tagger: Path, name: str) -> None:
    done = ask(name, tagger, "--image", "x.png")

    assert done.stderr == "Error: this model does not read images: use --tensors or --json\n"
    assert done.returncode == 2


def test_an_image_that_is_not_called_one_is_said_alike_in_python_and_cpp(
    ask: Ask, tmp_path: Path
) -> None:
    axes = ["batch", 3, 2, "width"]
    said = contract([tensor("pixels", "uint8", axes)], [tensor("same", "uint8", axes)])
    crate = script(tmp_path / "same", said, "def forward(self, pixels):\n return pixels")

    one, other = (ask(name, crate, "--image", "x.png") for name in BOTH)

    assert "described 'as image'" in one.stderr
    assert (one.returncode, one.stderr) == (other.returncode, other.stderr)


@pytest.mark.parametrize(
    ("meaning", "numbers", "said"),
    [
        ("probabilities", [0.25, 0.75], "Image is a b (75.0 %)"),
        ("log-probabilities", [-1.3862944, -0.2876821], "Image is a b (75.0 %)"),
        ("natural logarithms of probabilities", [-1.3862944, -0.2876821], "Image is a b (75.0 %)"),
        ("logits", [1000.0, 1001.0986123], "Image is a b (75.0 %)"),
        ("marks", [1.0, 2.0], "Image is a b"),
    ],
)
def test_the_percentage_goes_by_what_the_output_means(
    ask: Ask, tmp_path: Path, meaning: str, numbers: list[float], said: str
) -> None:
    inputs = [tensor("image", "uint8", ["batch", 1, 1, 1], "image")]
    outputs = [tensor("scores", "float32", ["batch", 2], meaning)]
    crate = graph(
        tmp_path / "crate",
        contract(inputs, outputs, labels="ab"),
        [
            helper.make_node("Cast", ["image"], ["cast"], to=TensorProto.FLOAT),
            helper.make_node("Squeeze", ["cast", "axes"], ["flat"]),
            helper.make_node("Mul", ["flat", "nought"], ["nil"]),
            helper.make_node("Add", ["nil", "numbers"], ["scores"]),
        ],
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 1, 1, 1])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 2])],
        axes=np.array([2, 3]),
        nought=np.zeros(1, np.float32),
        numbers=np.array([numbers], np.float32),
    )
    Image.new("L", (1, 1)).save(tmp_path / "x.png")

    done = ask("run_onnx.py", crate, "--image", tmp_path / "x.png")

    assert done.stdout == f"{said}  {tmp_path / 'x.png'}\n", done.stderr


NUMBERS = [
    *(0.0, 1.0, 1.5, 0.1, 1 / 3, 100.0, 1e5, 123456.0, 1234567.0, 1e6, 1e15, 1e16, 1e17),
    *(9007199254740993.0, 9999999999999998.0, 1.2345678901234567e15, 1e22, 1e23, 1e-3, 1e-4),
    *(9.999999999999999e-05, 1e-5, 1.5e-5, 1e-10, 5e-324, 2.2250738585072014e-308, 1e100),
    *(1.7976931348623157e308, 999999.5, 0.00012345675, 65504.0, 3.4028234663852886e38),
]


class Numbers(torch.nn.Module):
    """Answers with numbers that it was made with."""

    def __init__(self, numbers: torch.Tensor) -> None:
        super().__init__()
        self.numbers = numbers

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a number and its opposite, by the first pixel; and a large whole number."""
        picked = image.flatten(1).to(torch.int64)[:, :1]
        both = torch.cat([self.numbers[picked], -self.numbers[picked]], 1)
        return both, picked + 9223372036854775000


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_are_written_alike_in_python_and_cpp(ask: Ask, tmp_path: Path, dtype: str) -> None:
    numbers = [number for number in NUMBERS if number <= float(np.finfo(dtype).max)]
    outputs = [tensor("y", dtype, ["batch", 2]), tensor("whole", "int64", ["batch", 1])]
    module = Numbers(torch.tensor(numbers, dtype=getattr(torch, dtype)))
    crate = scripted(tmp_path / "crate", contract([IMAGE], outputs), module)
    for pixel in range(len(numbers)):
        Image.new("L", (1, 1), pixel).save(crate / f"{pixel:02}.png")

    said_alike(ask, crate, len(numbers))


@pytest.mark.parametrize("meaning", ["probabilities", "log-probabilities", "logits", "scores"])
def test_people_are_told_of_what_is_no_number_alike_in_python_and_cpp(
    ask: Ask, tmp_path: Path, meaning: str
) -> None:
    """Pixels 0, 1, 2, 3 are answered by NaN alone, NaN beside a number, infinity and too much."""
    source = """
def forward(self, image):
    pixel = image.flatten(1).to(torch.float32)[:, :1]
    nan = torch.zeros_like(pixel) / 0
    first = torch.where(pixel == 2, 1 / torch.zeros_like(pixel), nan)
    first = torch.where(pixel == 3, torch.full_like(pixel, 800.0), first)
    return torch.cat([torch.where(pixel == 0, nan, torch.ones_like(pixel)), first], 1)
"""
    said = contract([IMAGE], [tensor("y", "float32", ["batch", 2], meaning)], labels="no")
    crate = script(tmp_path / "nan", said, source)
    for pixel in range(4):
        Image.new("L", (1, 1), pixel).save(crate / f"{pixel}.png")

    said_alike(ask, crate, 4)


def said_alike(ask: Ask, crate: Path, count: int) -> None:
    """Hold what Python says of the images in a crate to what C++ says, for people and as JSON."""
    for options in (["--image", "*.png"], ["--image", "*.png", "--json"]):
        one, other = (ask(name, crate, *options, cwd=crate) for name in BOTH)

        assert len(one.stdout.splitlines()) == count, one.stderr
        assert one.stdout == other.stdout
        assert (one.returncode, one.stderr) == (other.returncode, other.stderr)


@pytest.mark.parametrize(
    ("axes", "output", "sizes"),
    [
        (["batch", 1, "h", "w"], ["batch"], {}),
        (["batch", 1, "h", "w"], ["batch"], {"batch": {"maximum": 3}}),
        ([1, 1, "h", "w"], [1], {}),
        (["batch", 1, "h", "w"], [], {}),
    ],
    ids=["any batch", "three at most", "one", "an answer for all together"],
)
def test_as_many_images_are_answered_together_as_the_contract_allows(
    ask: Ask, tmp_path: Path, axes: list[int | str], output: list[int | str], sizes: Any
) -> None:
    all_together = "" if output else ".sum()"
    crate = script(
        tmp_path / "sum",
        contract(
            [tensor("image", "uint8", axes, "image")],
            [tensor("sum", "int64", output)],
            sizes=sizes,
        ),
        f"def forward(self, image):\n return image.long().sum((1, 2, 3)){all_together}",
    )
    for i in range(40):
        Image.new("L", (2, 2), i).save(crate / f"{i:02}.png")

    done = ask("run_libtorch", crate, "--json", "--image", "*.png", cwd=crate)

    assert done.stderr == ""
    assert [json.loads(line)["sum"] for line in done.stdout.splitlines()] == list(range(0, 160, 4))


class Cancelling(torch.nn.Module):
    """A sum of pixels beside a large number, which normalisation takes away again.

    Folding it into the convolution, as optimising does, is more exact than what the model does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 2)
        self.norm = torch.nn.BatchNorm2d(1)
        with torch.no_grad():
            self.conv.weight.fill_(1)
            self.conv.bias.fill_(1e6)
            self.norm.running_mean.fill_(1e6)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return sums (N,) of images (N, 1, 2, 2)."""
        return self.norm(self.conv(image.to(torch.float32))).flatten()


@pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")
def test_a_model_whose_optimised_copy_answers_otherwise_answers_as_it_is(
    ask: Ask, tmp_path: Path
) -> None:
    image = tensor("image", "uint8", ["batch", 1, 2, 2], "image")
    said = contract([image], [tensor("sum", "float32", ["batch"])])
    crate = scripted(tmp_path / "crate", said, Cancelling())
    module = torch.jit.load(str(crate / "model.pt"))
    grey = torch.arange(40, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    for i in range(40):
        Image.new("L", (2, 2), i).save(crate / f"{i:02}.png")

    done = ask("run_libtorch", crate, "--json", "--image", "*.png", cwd=crate)

    sums = torch.tensor([json.loads(line)["sum"] for line in done.stdout.splitlines()])
    with torch.inference_mode():
        want = module(grey)
        other = torch.jit.optimize_for_inference(module)(grey)
    assert (other - want).abs().max() > 1e-3
    assert torch.equal(sums, want)
