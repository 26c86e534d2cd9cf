"""Figures of a benchmark are in a sealed crate as long as it is the one that was measured."""

import shutil
from pathlib import Path

import pytest

from torchcrate.errors import ContractError
from torchcrate.release.crate import open_sealed, seal, unseal
from torchcrate.release.evidence import enclose
from torchcrate.verify.report import Report


@pytest.fixture
def copy(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "crate"))


def test_figures_of_a_benchmark_are_evidence_until_the_crate_is_judged_again(
    copy: Path, tmp_path: Path
) -> None:
    before = open_sealed(copy)
    report = Report.parse((copy / "parity.json").read_bytes())
    for name in ("bench.json", "bench-start.svg"):
        (tmp_path / name).write_text(name)
    enclose(copy, [tmp_path / "bench.json", tmp_path / "bench-start.svg"], {"latency onnx": 1.5})
    enclose(copy, [tmp_path / "bench.json"], {"latency eager": 9.0})

    after = open_sealed(copy)

    assert after.content == before.content
    assert after.metrics == {**before.metrics, "latency eager": 9.0}
    assert {file.name for file in after.files} - {file.name for file in before.files} == {
        "bench.json"
    }
    assert not (copy / "bench-start.svg").exists()
    unseal(copy)
    assert seal(copy, report) == before


def test_a_crate_that_is_not_sealed_takes_no_figures(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text("{}")
    unseal(copy)

    with pytest.raises(ContractError, match="is not sealed"):
        enclose(copy, [tmp_path / "bench.json"], {})

    assert not (copy / "bench.json").exists()
