"""The C++ programs of a race: the crate's own, and what it is raced against."""

from importlib import resources
from pathlib import Path

from torchcrate.bench.subject import Programs, Subject
from torchcrate.verify.build import build_cpp

_BASELINES = ("bench_loop", "bench_empty")


def programs(subject: Subject, build: Path) -> Programs:
    """Build the crate's C++ program and its baselines in folders beside `build`.

    Raises:
        RunnerError: If a compiler or a library is missing, or the build fails.
        FolderError: If the folders cannot be written.
    """
    with resources.as_file(resources.files("torchcrate.cpp_demo") / "bench") as sources:
        names = [path.name for path in sources.iterdir()]
        loop = build_cpp(sources, names, build.with_name("cpp-bench"), _BASELINES)
    return Programs(
        shipped(subject, build).resolve(), loop.resolve(), loop.with_name("bench_empty").resolve()
    )


def shipped(subject: Subject, build: Path) -> Path:
    """Build the crate's C++ program in `build`.

    Raises:
        RunnerError: If a compiler or a library is missing, or the build fails.
        FolderError: If `build` cannot be written.
    """
    return build_cpp(subject.folder, subject.sources, build)
