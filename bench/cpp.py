"""The C++ programs of a race: the crate's own, and what it is raced against."""

from importlib import resources
from pathlib import Path

from torchcrate.bench.subject import Programs, Subject
from torchcrate.verify.build import PROGRAM, build_cpp

_BASELINES = ("bench_loop", "bench_empty", "bench_call")


def program(subject: Subject, build: Path) -> Path:
    """Build the crate's C++ program alone in `build`, as verify does, and return its path.

    Raises:
        RunnerError: If a compiler or a library is missing, or the build fails.
        FolderError: If the folder cannot be written.
    """
    return build_cpp(_sources(subject), build).resolve()


def programs(subject: Subject, build: Path) -> Programs:
    """Build the crate's C++ program and its baselines, of the same sources, beside `build`.

    Raises:
        RunnerError: If a compiler or a library is missing, or the build fails.
        FolderError: If the folder cannot be written.
    """
    with resources.as_file(resources.files("torchcrate.cpp_demo") / "bench") as baselines:
        sources = _sources(subject)
        sources |= {f"bench/{path.name}": path for path in baselines.iterdir()}
        made = (PROGRAM, *_BASELINES)
        options = ("-DTORCHCRATE_BENCH=ON",)
        build = build.resolve()
        beside = build.with_name(f"{build.name}-bench")
        built = build_cpp(sources, beside, made, options).resolve()
    return Programs(built, *(built.with_name(name) for name in _BASELINES))


def _sources(subject: Subject) -> dict[str, Path]:
    return {name: subject.folder / name for name in subject.sources}
