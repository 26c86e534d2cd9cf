"""Files of any size pass through little memory, both ways, in both registries, and the cache."""

import shutil
import subprocess
import sys

import pytest

PROGRAM = """
import re, sys
from pathlib import Path
from torchcrate.release.cache import Cache
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull
from torchcrate.release.registry import open_registry

crate, address, out, kept = sys.argv[1:]
cache = Cache(Path(kept)) if "://" in address else None
with open_registry(address, {"GITLAB_TOKEN": "glpat-developer"}) as registry:
    publish(Path(crate), registry)
    pull("mnist-net@1.0.0", registry, Path(out), cache=cache)
# Not ru_maxrss, which begins with what the process that forked this one held.
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
MEBIBYTE = 2**20


@pytest.mark.parametrize(
    "size",
    [256 * MEBIBYTE, pytest.param(5 * 1024 * MEBIBYTE, marks=pytest.mark.proof)],
    ids="{} bytes".format,
)
@pytest.mark.parametrize("kind", ["gitlab", "folder"])
def test_a_large_file_moves_both_ways_in_150_megabytes(crate, reseal, gitlab, tmp_path, size, kind):
    with (crate / "weights.bin").open("wb") as file:
        file.truncate(size)  # sparse: no disk is used until it is copied
    reseal(crate, "1.0.0")
    address = gitlab.project if kind == "gitlab" else str(tmp_path / "shelf")
    out, kept = tmp_path / "out", tmp_path / "kept"
    command = [sys.executable, "-c", PROGRAM, str(crate), address, str(out), str(kept)]

    done = subprocess.run(command, capture_output=True, text=True)

    assert done.stderr == ""
    assert (out / "weights.bin").stat().st_size == size
    for folder in ("shelf", "out", "kept"):
        shutil.rmtree(tmp_path / folder, ignore_errors=True)  # pytest keeps what tests leave
    peak = int(done.stdout) * 1024  # bytes; Linux counts in KiB
    assert peak < 150e6
    print(f"{kind}: {size / MEBIBYTE:.0f} MiB in {peak / 1e6:.0f} MB of memory")
