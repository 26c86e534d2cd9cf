"""The threads of the C++ program share nothing that two of them touch at once."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

DRAWINGS = Path(__file__).parents[1] / "drawings"
COPIES = 4
REPORT = "WARNING: ThreadSanitizer"


@pytest.mark.proof
def test_the_threads_of_a_batch_race_for_nothing(
    drafted: Path,
    libtorch: Path,
    sanitized: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Built with the thread sanitizer: images of many sizes, damaged ones and a name in vain."""
    watched, tests = sanitized
    for number in range(COPIES):
        for path in DRAWINGS.glob("*.png"):
            shutil.copy(path, tmp_path / f"{number:03}-{path.name}")
        (tmp_path / f"{number:03}-damaged.png").write_bytes(b"no PNG")
    asked = ["--crate", drafted, "--json", "--image", tmp_path / "*.png", "--image", "in-vain"]
    alone = subprocess.run([libtorch, *asked], capture_output=True, text=True, check=False)
    table = []

    for threads in (2, 4, 8):
        env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        command = [watched, *asked]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, alone.stdout), done.stderr
        table.append((threads, len(done.stdout.splitlines()), done.stderr.count(REPORT)))
    units = subprocess.run([tests], capture_output=True, text=True, check=False)

    with capsys.disabled():
        print("\nthreads  images  races")
        for threads, images, races in table:
            print(f"{threads:7d} {images:7,d} {races:6d}")
        print(f"the units that use threads: {units.stderr.count(REPORT)}")
    assert not sum(races for _, _, races in table)
    assert (units.returncode, units.stderr.count(REPORT)) == (0, 0), units.stdout
