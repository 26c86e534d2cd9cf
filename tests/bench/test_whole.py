"""A crate's own programs are measured as they ship; what one of them cannot do is its own line."""

import glob
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from torchcrate.bench.memory import memory
from torchcrate.bench.results import Results
from torchcrate.bench.setting import Setting
from torchcrate.bench.subject import Subject, drawn, images, one_case
from torchcrate.bench.whole import JSON, TABLE, bench, save
from torchcrate.errors import FolderError, UsageError
from torchcrate.model.contract import Contract, TensorSpec

Make = Callable[..., Path]
Value = Callable[[Path, str], Subject]
PARTS = ("files", "start", "latency", "memory")


def test_every_part_measures_everybody_and_leaves_figures_and_pictures(
    pulled: Make, subject: Value, setting: Setting
) -> None:
    """A crate that was pulled for ONNX Runtime alone: no C++, no torch."""
    results = bench(subject(pulled("crate"), "net 1.0.0"), PARTS, setting)

    written = save(results, setting.out)
    lanes = [lane for part in results.parts for lane in part.lanes]
    assert [part.name for part in results.parts] == list(PARTS)
    assert [lane.failure for lane in lanes if lane.failure] == []
    assert {"run_onnx", "onnx loop", "its imports (onnx)", "onnx: runner"} <= {
        lane.name for lane in lanes
    }
    assert all(bar.found for part in results.parts for bar in part.bars)
    assert Results.parse((setting.out / JSON).read_bytes()) == results
    assert {path.name for path in written} == {
        JSON,
        TABLE,
        *(f"bench-{part}.svg" for part in PARTS),
    }
    assert "run_onnx" in (setting.out / TABLE).read_text()
    for path in written[2:]:
        ElementTree.parse(path)


def test_a_program_that_leaves_out_an_answer_is_out_and_the_loop_goes_on(
    pulled: Make, subject: Value, setting: Setting
) -> None:
    crate = pulled("crate")
    read = images(subject(crate, "net"), setting.files, setting.out, None)
    (read.folder / "000003.png").write_bytes(b"no PNG")

    (part,) = bench(subject(crate, "net"), ("files",), setting).parts

    failures = {lane.name: lane.failure for lane in part.lanes}
    assert "000003.png" in failures["run_onnx"]
    assert failures["onnx loop"]  # it reads the same files


def test_what_is_no_part_is_one_line(pulled: Make, subject: Value, setting: Setting) -> None:
    with pytest.raises(UsageError, match="'speed' is no part: there are files, "):
        bench(subject(pulled("crate"), "net"), ("speed",), setting)


def test_training_without_data_is_one_line_before_anything_is_raced(
    pulled: Make, subject: Value, setting: Setting
) -> None:
    with pytest.raises(FolderError, match="--data-dir"):
        bench(subject(pulled("crate"), "net"), ("latency", "training"), setting)

    assert not setting.out.exists()


def test_files_are_written_once_and_are_the_drawn_images(
    pulled: Make, subject: Value, setting: Setting
) -> None:
    from PIL import Image

    crate = subject(pulled("crate"), "net")

    first = images(crate, 3, setting.out, None)
    times = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    again = images(crate, 3, setting.out, None)

    assert first == again
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == times
    assert first.names.read_text().splitlines() == sorted(map(str, times))
    pixels = Image.open(first.folder / "000002.png")
    assert pixels.tobytes() == drawn(3, (1, 28, 28))[2].tobytes()


def test_files_of_a_folder_that_moved_are_found_where_it_is(
    pulled: Make, subject: Value, setting: Setting
) -> None:
    crate = subject(pulled("crate"), "net")
    out = setting.out.with_name("out [1]")
    images(crate, 3, setting.out, None)
    setting.out.rename(out)

    there = images(crate, 3, out, None)

    paths = there.names.read_text().splitlines()
    assert paths == sorted(glob.glob(there.pattern))
    assert len(paths) == 3


def test_a_program_that_dies_of_many_images_is_not_flat(
    pulled: Make, subject: Value, setting: Setting
) -> None:
    crate = pulled("crate")
    dying = 'import sys\nif sys.argv.count("--image") > 99: sys.exit("out of memory")\n'
    runner = crate / "run_onnx.py"
    text = runner.read_text()
    at = text.index("import re")
    runner.write_text(text[:at] + dying + text[at:])

    part = memory(subject(crate, "net"), None, replace(setting, many=10_000))

    (bar,) = part.bars
    assert len(part.plots[0].curves[0].points) == 2
    assert bar.found is None
    assert not bar.holds
    assert "out of memory" in bar.note


def test_what_a_crate_has_nothing_for_is_left_out_with_a_word(
    pulled: Make, subject: Value, setting: Setting
) -> None:
    said: list[str] = []

    results = bench(subject(pulled("crate"), "net"), ["busy"], replace(setting, say=said.append))

    assert results.parts == ()
    assert said == ["busy is left out: the crate has no program for TorchScript here"]


@pytest.mark.parametrize(
    ("inputs", "shapes"),
    [
        ((TensorSpec("picture", "uint8", ("n", 3, 8, "w"), meaning="image"),), [(1, 3, 8, 28)]),
        ((TensorSpec("tokens", "int64", (1, 5), 0, 9), TensorSpec("scale", "float32", ())), None),
    ],
)
def test_one_case_fits_the_contract(
    inputs: tuple[TensorSpec, ...], shapes: list[tuple[int, ...]] | None, tmp_path: Path
) -> None:
    contract = Contract(inputs, (), ())

    case = one_case(Subject(tmp_path, "net", "0", contract, ()))

    assert list(case) == [spec.name for spec in inputs]
    for spec in inputs:
        spec.check(case[spec.name], {})
    if shapes:
        assert [array.shape for array in case.values()] == shapes
