"""The C++ programs of a race: the crate's own, and what it is raced against."""

from importlib import resources
from pathlib import Path

from torchcrate.bench.subject import Programs, Subject
from torchcrate.verify.build import PROGRAM, build_cpp

_BASELINES = ("bench_loop", "bench_empty", "bench_call")


def programs(subject: Subject, build: Path) -> Programs:
    """Build the crate's C++ program and its baselines, of the same sources, beside `build`.

    Raises:
        RunnerError: If a compiler or a library is missing, or the build fails.
        FolderError: If the folder cannot be written.
    """
    with resources.as_file(resources.files("torchcrate.cpp_demo") / "bench") as baselines:
        sources = {name: subject.folder / name for name in subject.sources}
        sources |= {f"bench/{path.name}": path for path in baselines.iterdir()}
        made = (PROGRAM, *_BASELINES)
        options = ("-DTORCHCRATE_BENCH=ON",)
        build = build.resolve()
        beside = build.with_name(f"{build.name}-bench")
        built = build_cpp(sources, beside, made, options).resolve()
    return Programs(built, *(built.with_name(name) for name in _BASELINES))
