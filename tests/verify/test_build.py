"""What was built is used again where it is of the same sources, and made anew elsewhere."""

from pathlib import Path

import pytest

from torchcrate.errors import FolderError, RunnerError
from torchcrate.verify.build import PROGRAM, build_cpp


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    path = tmp_path / "CMakeLists.txt"
    path.write_text("message(FATAL_ERROR tried)\n")
    return {path.name: path}


def test_a_program_of_other_sources_that_a_cache_kept_is_built_anew(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    kept = tmp_path / "cpp"
    kept.mkdir()
    (kept / PROGRAM).write_text("old")
    (kept / "built-from").write_text("other sources")

    with pytest.raises(RunnerError):  # CMake was asked, and these sources say no
        build_cpp(sources, kept)

    assert not (kept / PROGRAM).exists()


def test_a_folder_of_other_files_is_left_alone(sources: dict[str, Path], tmp_path: Path) -> None:
    theirs = tmp_path / "thesis"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("mine")

    with pytest.raises(FolderError, match="holds other files than a build"):
        build_cpp(sources, theirs)

    assert (theirs / "thesis.txt").read_text() == "mine"
