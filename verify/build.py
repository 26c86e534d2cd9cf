"""The C++ program, built from the very sources that the crate ships."""

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from torchcrate.cores import cores
from torchcrate.errors import FolderError, RunnerError
from torchcrate.files import write_whole, writing

PROGRAM = "run_libtorch"
_STAMP = "built-from"


def build_cpp(
    sources: Mapping[str, Path],
    build: Path,
    programs: Sequence[str] = (PROGRAM,),
    options: Sequence[str] = (),
    before: Callable[[], object] = lambda: None,
) -> Path:
    """Build the crate's C++ program in `build` and return its path.

    The sources are copied into `build/source`, so that nothing of the checkout can
    leak in, and built there as INSTRUCTION.md tells a consumer to. Sources that were
    built there before are not built again.

    Args:
        sources: The crate's C++ sources by name, CMakeLists.txt among them.
        build: A folder that may be removed and made again.
        programs: What the sources build, where it is another program or several; the path
            of the first is returned, the others lie beside it.
        options: More words for CMake.
        before: Called if there is anything to build, which takes long: what it raises is raised.

    Raises:
        RunnerError: If CMake, a compiler or a library is missing, or the build fails.
        FolderError: If `build` cannot be written.
    """
    with _alone(build):
        stamp, wanted = build / _STAMP, _digest(sources)
        made = [build / name for name in programs]
        there = all(file.is_file() for file in (*made, stamp))
        if not (there and stamp.read_text() == wanted):
            before()
            _build(sources, build, programs, options)
            write_whole(stamp, wanted.encode())
        return made[0]


def _build(
    sources: Mapping[str, Path], build: Path, programs: Sequence[str], options: Sequence[str]
) -> None:
    with writing(build):
        # Of an earlier build a runner's cache may have kept the program and the stamp alone.
        ours = (build / "source").is_dir() or (build / _STAMP).is_file()
        if build.exists() and any(build.iterdir()) and not ours:
            raise FolderError(f"{build} holds other files than a build: name an empty folder")
        shutil.rmtree(build, ignore_errors=True)
        for name, path in sources.items():
            (build / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, build / "source" / name)
    source, objects = build / "source", build / "source" / "build"
    words = ["-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_PREFIX_PATH={_libtorch()}", *options]
    _cmake(build, "-S", str(source), "-B", str(objects), *words)
    _cmake(build, "--build", str(objects), "--parallel", str(cores()))
    with writing(build):
        for name in programs:
            (objects / name).replace(build / name)


@contextmanager
def _alone(build: Path) -> Iterator[None]:
    """Let a second verification that builds in the same folder wait for the first."""
    with writing(build):
        build.parent.mkdir(parents=True, exist_ok=True)
        lock = build.with_name(f"{build.name}.lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(sources: Mapping[str, Path]) -> str:
    parts = [version("torch"), str(_libtorch())]
    parts += [f"{name}\0{path.read_text()}" for name, path in sorted(sources.items())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _libtorch() -> Path:
    """Return where CMake finds LibTorch; links resolved, a torch that is lent is the one it is."""
    found = find_spec("torch")  # not imported: that takes seconds
    if found is None or not found.submodule_search_locations:
        raise RunnerError("torch is not installed: its LibTorch is what C++ is built with")
    return Path(found.submodule_search_locations[0], "share", "cmake").resolve()


def _cmake(build: Path, *arguments: str) -> None:
    log = build / "build.log"
    try:
        with log.open("ab") as output:
            done = subprocess.run(["cmake", *arguments], stdout=output, stderr=output, check=False)
    except FileNotFoundError as error:
        raise RunnerError(
            "cmake is not installed, so the C++ program cannot be judged: apt-get install cmake"
        ) from error
    if done.returncode:
        lines = [line for line in log.read_text(errors="replace").splitlines() if "rror" in line]
        reason = lines[0].strip() if lines else f"cmake exited with {done.returncode}"
        raise RunnerError(f"the C++ program cannot be built: {reason}; {log} has the whole story")
