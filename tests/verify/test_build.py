"""What was built is used again where it is of the same sources, and made anew elsewhere."""

from pathlib import Path

import pytest

from torchcrate.errors import FolderError, RunnerError
from torchcrate.verify.build import PROGRAM, build_cpp


@pytest.fixture
def crate(tmp_path: Path) -> Path:
    (tmp_path / "crate").mkdir()
    (tmp_path / "crate/CMakeLists.txt").write_text("message(FATAL_ERROR tried)\n")
    return tmp_path / "crate"


def test_a_program_of_other_sources_that_a_cache_kept_is_built_anew(crate: Path) -> None:
    kept = crate.with_name("cpp")
    kept.mkdir()
    (kept / PROGRAM).write_text("old")
    (kept / "built-from").write_text("other sources")

    with pytest.raises(RunnerError):  # CMake was asked, and these sources say no
        build_cpp(crate, ["CMakeLists.txt"], kept)

    assert not (kept / PROGRAM).exists()


def test_a_folder_of_other_files_is_left_alone(crate: Path) -> None:
    theirs = crate.with_name("thesis")
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("mine")

    with pytest.raises(FolderError, match="holds other files than a build"):
        build_cpp(crate, ["CMakeLists.txt"], theirs)

    assert (theirs / "thesis.txt").read_text() == "mine"
