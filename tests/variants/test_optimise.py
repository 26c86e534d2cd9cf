"""What earns its place is in the crate, what does not is in the table, and no crate is harmed."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from torchcrate import road
from torchcrate.errors import CrateError, UsageError
from torchcrate.model.digits import MNIST
from torchcrate.model.samples import drawings
from torchcrate.model.spec import Cases
from torchcrate.release.crate import DRAFT, read_manifest
from torchcrate.variants.words import shown
from torchcrate.verify.figures import NAME, Variants


def asked(folder: Path | None = None) -> Cases:
    return {name.removesuffix(".png"): {"image": image} for name, image in drawings().items()}


def negatives(folder: Path) -> Cases:
    return {name: {"image": 255 - case["image"]} for name, case in asked().items()}


def labels(folder: Path) -> dict[str, np.ndarray]:
    return {name: np.array([int(name[0])]) for name in asked()}


SPEC = replace(MNIST, samples=asked, data=asked, calibration=negatives, truth=labels)


def optimised(crate: Path, data: Path, *keep: str) -> Variants:
    """Make variants of the crate in a folder, asked with little so that it costs seconds."""
    return road.optimise(SPEC, crate, data, keep, 0.02, 2, lambda step: None)


@pytest.fixture
def crate(drafted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drafted, tmp_path / "crate"))


def slow(crate: Path) -> None:
    """Let every answer of a variant come late."""
    runner = crate / "run_onnx.py"
    text = runner.read_text()
    wait = "import time\n        time.sleep(0.002 if variant else 0)\n        "
    assert text.count("return session.run(") == 1
    runner.write_text(text.replace("return session.run(", f"{wait}return session.run("))


@pytest.fixture(scope="module")
def kept(drafted: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Variants]:
    """A crate whose int8 was slow, and kept; and what was said of it."""
    folder = tmp_path_factory.mktemp("kept")
    crate = Path(shutil.copytree(drafted, folder / "crate"))
    slow(crate)
    return crate, optimised(crate, folder, "int8")


def test_what_is_kept_ships_beside_the_same_content_and_answers(
    kept: tuple[Path, Variants], drafted: Path
) -> None:
    crate, found = kept

    draft = read_manifest(crate / DRAFT)
    int8, fp16 = found.candidates
    assert (int8.shipped, int8.why[:14]) == (True, "kept as asked,")
    assert int8.data
    assert int8.data.accuracy == int8.data.eager == 1
    assert (fp16.shipped, fp16.why[:15]) == (False, "not faster here")
    assert draft.content == read_manifest(drafted / DRAFT).content
    roles = {file.name: file.role for file in draft.only(["onnx"])}
    assert (roles["model.int8.onnx"], roles[NAME]) == ("variant", "figures")
    assert "model.int8.onnx" not in {file.name for file in draft.only(["torchscript"])}
    done = ask(crate, "run_onnx.py", "--variant", "int8", "--image", "model/samples/7-*.png")
    assert done.stdout.startswith("Image is a 7 ")
    assert "selftest passed" in ask(crate, "run_onnx.py", "--variant", "int8", "--selftest").stdout


def test_what_is_not_faster_is_left_out_and_the_table_says_so(
    kept: tuple[Path, Variants], tmp_path: Path
) -> None:
    crate = Path(shutil.copytree(kept[0], tmp_path / "crate"))
    before = contents(crate)

    found = optimised(crate, tmp_path)

    assert [each.shipped for each in found.candidates] == [False, False]
    assert "model.int8.onnx: not faster here: " in shown(found)
    assert Variants.parse((crate / NAME).read_bytes()) == found
    after = contents(crate)
    assert before.keys() - after.keys() == {"model.int8.onnx"}
    assert {name for name in after if before[name] != after[name]} == {DRAFT, NAME}


def contents(crate: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in crate.iterdir() if path.is_file()}


def test_what_is_wrong_is_never_kept(crate: Path, tmp_path: Path) -> None:
    runner = crate / "run_onnx.py"
    told = "found = session.run("
    text = runner.read_text().replace("return session.run(", told)
    wrong = "        return [-each for each in found] if variant else found\n\n"
    runner.write_text(text.replace("    return Model(", f"{wrong}    return Model("))

    found = optimised(crate, tmp_path, "int8", "fp16")

    assert [each.shipped for each in found.candidates] == [False, False]
    assert all("points of accuracy, 0.1 allowed" in each.why for each in found.candidates)
    assert not list(crate.glob("model.*.onnx"))


def test_a_crate_that_cannot_be_asked_stays_as_it_was(crate: Path, tmp_path: Path) -> None:
    (crate / "run_onnx.py").write_text("raise SystemExit('Error: broken')")
    before = contents(crate)

    with pytest.raises(CrateError, match="onnx failed: broken"):
        optimised(crate, tmp_path)

    assert contents(crate) == before
    assert [path.name for path in crate.parent.iterdir()] == ["crate"]


def test_a_crate_without_onnx_is_one_line(crate: Path, tmp_path: Path) -> None:
    draft = read_manifest(crate / DRAFT)
    files = tuple(
        replace(file, formats=tuple(each for each in file.formats if each != "onnx"))
        for file in draft.files
    )
    (crate / DRAFT).write_bytes(replace(draft, files=files).dump())

    with pytest.raises(UsageError, match=r"has no model\.onnx"):
        optimised(crate, tmp_path)


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("run_onnx.py", 6, "crate has no model.int8.onnx: leave --variant out"),
        ("run_torchscript.py", 2, "torchscript has no variants: run_onnx.py takes --variant"),
        ("run_eager.py", 2, "eager has no variants: run_onnx.py takes --variant"),
    ],
)
def test_a_program_without_the_variant_says_so(
    crate: Path, program: str, code: int, said: str
) -> None:
    done = ask(crate, program, "--variant", "int8", "--selftest")

    assert done.returncode == code
    assert done.stderr.endswith(f"{said}\n")


def ask(crate: Path, program: str, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, crate / program, *options]
    root = Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
