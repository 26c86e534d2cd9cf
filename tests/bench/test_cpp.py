"""The C++ program's model is called warm by the crate's own sources, and bare."""

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from torchcrate.bench.subject import Subject
from torchcrate.bench.worker import working_in_cpp
from torchcrate.errors import RunnerError

SOURCE = Path(__file__).parents[2] / "cpp_demo/bench/bench_call.cpp"
Value = Callable[[Path, str], Subject]


@pytest.fixture(scope="module")
def bench_call(libtorch: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bench_call`, compiled and linked as CMake did the program that verify built."""
    made = tmp_path_factory.mktemp("call")
    build = libtorch.parent / "source/build"
    flags = (build / "CMakeFiles/torchcrate_script_model.dir/flags.make").read_text()
    words = shlex.split(" ".join(re.findall(r"^CXX_\w+ = (.*)$", flags, re.MULTILINE)))
    words = [word for word in words if not word.startswith("-O")]  # compiling takes the time here
    launcher = os.environ.get("CMAKE_CXX_COMPILER_LAUNCHER", "").split()
    compiler = [*launcher, "c++", *words, f"-I{build.parent}"]
    subprocess.run([*compiler, "-c", str(SOURCE), "-o", str(made / "call.o")], check=True)
    link = shlex.split((build / "CMakeFiles/run_libtorch.dir/link.txt").read_text())
    link[link.index("-o") + 1] = str(made / "bench_call")
    main = next(word for word in link if word.endswith("main.cpp.o"))
    link[link.index(main)] = str(made / "call.o")
    subprocess.run(link, cwd=build, check=True)
    return made / "bench_call"


def test_both_calls_are_timed_as_often_as_asked(
    bench_call: Path, drafted: Path, subject: Value, tmp_path: Path
) -> None:
    for word in ("answer", "bare"):
        with working_in_cpp(subject(drafted, "net"), bench_call, tmp_path) as worker:
            seconds = worker.contestant(word, word, 7).measure().seconds

        assert len(seconds) == 7
        assert all(1e-6 < each < 10 for each in seconds)


def test_a_model_that_is_refused_is_one_line(
    bench_call: Path, drafted: Path, subject: Value, tmp_path: Path
) -> None:
    (tmp_path / "model.pt").write_bytes(b"damaged")
    crate = subject(drafted, "net")
    damaged = Subject(tmp_path, crate.title, crate.content, crate.contract, crate.files)

    with (
        working_in_cpp(damaged, bench_call, tmp_path) as worker,
        pytest.raises(RunnerError, match=r"it failed: LibTorch .* refused .*model\.pt"),
    ):
        worker.contestant("answer", "answer", 1).measure()
