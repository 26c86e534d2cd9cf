"""A variant may differ as far as its figures say, and no further."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from torchcrate.errors import ContractError
from torchcrate.export.artifact import Artifact, sha256_of
from torchcrate.model.digits import DIGITS, MNIST
from torchcrate.model.samples import drawings
from torchcrate.model.spec import Cases
from torchcrate.variants import make
from torchcrate.verify.drive import write_inputs
from torchcrate.verify.figures import NAME, Deviation, Variant, Variants
from torchcrate.verify.reference import Reference
from torchcrate.verify.variants import (
    Allowed,
    deviation,
    held_out,
    judge_variants,
    program,
    refusal,
    worse,
)

CASES: Cases = {name: {"image": image} for name, image in drawings().items()}
WANT = {"a": {"log_probs": np.log(np.array([[0.6, 0.4] + [1e-9] * 8] * 4, np.float32))}}
TRUTH = {"a": np.zeros(4, np.int64)}


def swapped(count: int) -> dict[str, dict[str, np.ndarray]]:
    """Return answers of which `count` have the two best labels the other way round."""
    answer = WANT["a"]["log_probs"].copy()
    answer[:count, :2] = answer[:count, 1::-1]
    return {"a": {"log_probs": answer}}


def test_equal_answers_deviate_by_nothing() -> None:
    found = deviation(WANT, WANT, DIGITS, TRUTH)

    assert found == Deviation(1, 4, 0.0, "a", 0.0, 1.0, 1.0)
    assert refusal([found], Allowed()) == ""


def test_a_label_that_changes_costs_accuracy_where_it_is_known_and_a_share_where_not() -> None:
    known, unknown = (deviation(WANT, swapped(1), DIGITS, each) for each in (TRUTH, {}))

    assert (known.accuracy, known.flipped, unknown.accuracy) == (0.75, 0.25, None)
    assert refusal([known], Allowed()) == "loses 25.00 points of accuracy, 0.1 allowed"
    assert refusal([unknown], Allowed()) == "25.00 % of the labels change, 0.1 % allowed"
    assert refusal([known], Allowed(loss=0.25)) == ""


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"log_probs": np.full((4, 10), np.nan, np.float32)},
        {"log_probs": np.zeros((3, 10), np.float32)},
        {"log_probs": np.zeros((4, 10), np.float16)},
    ],
    ids=["none", "NaN", "too few", "another dtype"],
)
def test_an_answer_that_is_none_is_refused_whatever_is_allowed(
    answer: dict[str, np.ndarray],
) -> None:
    found = deviation(WANT, {"a": answer}, DIGITS, TRUTH)

    assert found.maximum is None
    assert "missing or no number" in refusal([found], Allowed(1, 1, 1e9))
    assert "missing or no number" in worse(Variant("int8", "f", limit=1e9), found)


def test_worse_than_stated_is_more_than_twice_the_labels_or_past_the_limit() -> None:
    stated = Deviation(1, 1000, 0.1, "a", flipped=0.01)
    variant = Variant("int8", "model.int8.onnx", samples=stated, limit=0.2)

    def found(maximum: float, flipped: float) -> str:
        return worse(variant, Deviation(1, 1000, maximum, "b", flipped=flipped))

    assert found(0.2, 0.021) == ""
    assert found(0.21, 0.01) == "difference 2.1e-01 at b, 2.0e-01 stated"
    assert found(0.1, 0.022) == "22 of 1000 labels change, 1.00 % stated"


def test_nothing_is_calibrated_on_that_is_measured_on() -> None:
    one, other = held_out(CASES)

    assert not one.keys() & other.keys()
    assert one | other == CASES


@pytest.fixture(scope="module")
def varied(drafted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crate with int8 in it, and its figures on ten drawings."""
    crate = Path(shutil.copytree(drafted, tmp_path_factory.mktemp("varied") / "crate"))
    content = make.int8(onnx.load(crate / "model.onnx"), DIGITS, CASES)
    (crate / "model.int8.onnx").write_bytes(content)
    write_inputs(crate / "asked", CASES)
    got = program(crate, "int8").answer(crate / "asked", crate)
    found = deviation(reference(crate).answers(CASES), got, DIGITS, {})
    state(crate, found, 2 * (found.maximum or 0))
    return crate


def reference(crate: Path) -> Reference:
    return Reference.of(crate / "model.pth", DIGITS, MNIST)


def state(crate: Path, found: Deviation, limit: float) -> None:
    path = crate / "model.int8.onnx"
    size, sha256 = path.stat().st_size, sha256_of(path)
    int8 = Variant("int8", path.name, size, sha256, found, limit=limit, shipped=True)
    model = Variant("", "model.onnx")
    (crate / NAME).write_bytes(Variants("samples", {}, model, (int8,)).dump())


@pytest.fixture
def judged(varied: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Say what is off in a copy of the crate that was damaged."""

    def judge(damage: Callable[[Path], None] = lambda crate: None) -> list[str]:
        crate = Path(shutil.copytree(varied, tmp_path / "crate"))
        damage(crate)
        files = [
            Artifact.of(crate / "model.int8.onnx", "variant"),
            Artifact.of(crate / NAME, "figures"),
        ]
        sums = {file.name: file.sha256 for file in files}
        want = reference(crate).answers(CASES)
        return judge_variants(crate, files, sums, DIGITS, crate / "asked", tmp_path, want, {})[1]

    return judge


def test_a_variant_as_good_as_stated_passes(judged: Callable[..., list[str]]) -> None:
    assert judged() == []


def test_swapped_bytes_are_caught(judged: Callable[..., list[str]]) -> None:
    def swap(crate: Path) -> None:
        shutil.copy(crate / "model.onnx", crate / "model.int8.onnx")

    assert judged(swap) == ["model.int8.onnx is not the file that was measured: optimise again"]


def test_figures_better_than_the_truth_are_caught(judged: Callable[..., list[str]]) -> None:
    def boast(crate: Path) -> None:
        figures = json.loads((crate / NAME).read_text())
        figures["candidates"][0]["limit"] /= 4
        (crate / NAME).write_text(json.dumps(figures))

    assert judged(boast)[0].startswith("model.int8.onnx: difference ")


def test_a_worse_model_under_the_figures_of_a_better_one_is_caught(
    judged: Callable[..., list[str]],
) -> None:
    def damage(crate: Path) -> None:
        figures = Variants.parse((crate / NAME).read_bytes()).candidates[0]
        model = onnx.load(crate / "model.int8.onnx")
        name = next(each for each in model.graph.initializer if "fc2.bias" in each.name)
        name.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(name) * 50, name.name))
        onnx.save(model, crate / "model.int8.onnx")
        assert figures.samples
        state(crate, figures.samples, figures.limit)

    assert len(judged(damage)) == 1


def test_a_variant_without_figures_is_refused(judged: Callable[..., list[str]]) -> None:
    def forget(crate: Path) -> None:
        figures = json.loads((crate / NAME).read_text())
        (crate / NAME).write_text(json.dumps({**figures, "candidates": []}))

    with pytest.raises(ContractError, match=r"states nothing of model\.int8\.onnx"):
        judged(forget)
