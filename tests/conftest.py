"""What several rooms' tests share: one exported crate, one sealed crate, the data if present."""

import compileall
import fcntl
import gc
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import preloaded
import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMED = os.environ.get("MNIST_DIR")
PLACES = (*([Path(NAMED)] if NAMED else []), ROOT.parent / "shared/data/mnist", ROOT / "data")
"""Where MNIST may lie, in torchvision's layout."""
# Crates that tests share stay as they were made, whoever runs a program in one; what their
# programs import is compiled once, by `made_once`, and copied with them.
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
# Tests are of the CPU wherever they run, but for those that ask a CUDA device themselves.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
PRELOADED = ("doctor", "export", "train", "verify")
"""The commands that need torch."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that say how long they take first: workers would wait for them in the end."""
    items.sort(key=lambda item: -next((mark.args[0] for mark in item.iter_markers("seconds")), 0))


def pytest_collection_finish() -> None:
    """Make what every export needs once, and leave alone what is there: none of it is garbage."""
    if "torchcrate.export.to_onnx" in sys.modules:
        importlib.import_module("torchlib_once")
    gc.freeze()


@pytest.fixture(scope="session")
def torchcrate() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run the installed command as a person does, in any folder."""

    def run(
        *arguments: str | Path, cwd: Path = ROOT, **env: str
    ) -> "subprocess.CompletedProcess[str]":
        program = Path(sys.executable).with_name("torchcrate")
        ours = not any(name.startswith("PYTHON") for name in env)  # nothing that Python begins with
        if ours and arguments[0] in PRELOADED:
            return preloaded.run(program, *arguments, cwd=cwd, env=env)
        return subprocess.run(
            [program, *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(autouse=True, scope="session")
def cache(shared: Path) -> Iterator[Path]:
    """What the command keeps for later is kept with this run, not with the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHCRATE_CACHE", str(shared / "cache"))
        yield shared / "cache"


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return `folder`, which `make` fills for the first of the workers that ask for it."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            draft = folder.with_suffix(".partial")
            shutil.rmtree(draft, ignore_errors=True)
            make(draft)
            assert not (draft / "__pycache__").exists(), "no command leaves this in a crate"
            compileall.compile_dir(draft, quiet=2)
            draft.rename(folder)
    return folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def drafted(shared: Path, torchcrate: Callable[..., "subprocess.CompletedProcess[str]"]) -> Path:
    """A crate as export leaves it; copy it before changing it."""

    def export(out: Path) -> None:
        job = "https://gitlab.example.com/group/net/-/jobs/9"
        done = torchcrate("export", "--out", out, "--json", CI_JOB_URL=job)
        assert done.returncode == 0, done.stderr
        (shared / "drafted.json").write_text(done.stdout)

    return made_once(shared / "drafted", export)


@pytest.fixture(scope="session")
def sealed(
    shared: Path, drafted: Path, torchcrate: Callable[..., "subprocess.CompletedProcess[str]"]
) -> Path:
    """A crate as verify leaves it, judged on all inputs but MNIST; copy it before changing it."""

    def verify(crate: Path) -> None:
        shutil.copytree(drafted, crate, ignore=shutil.ignore_patterns("__pycache__"))
        done = torchcrate("verify", crate, MNIST_DIR="", PYTHONDONTWRITEBYTECODE="")
        assert done.returncode == 0, done.stderr

    return made_once(shared / "sealed", verify)


@pytest.fixture(scope="session")
def libtorch(sealed: Path) -> Path:
    """The C++ program that verify built from the crate's sources."""
    return ROOT / "build" / "cpp" / "run_libtorch"


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """Where the MNIST files lie; the one thing for whose lack a test may be skipped."""
    folder = next((place for place in PLACES if (place / "MNIST" / "raw").is_dir()), None)
    if folder is None:
        pytest.skip("MNIST is not there: set MNIST_DIR")
    return folder


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that skipped something although the data is there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    there = any((place / "MNIST" / "raw").is_dir() for place in PLACES)
    if reporter is not None and reporter.stats.get("skipped") and there:
        reporter.write_line("\nskipped although MNIST is there: a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
