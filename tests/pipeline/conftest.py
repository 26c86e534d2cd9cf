"""A checkout as a GitLab runner gets it, a registry, and gitlab-ci-local to run the pipeline."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(HERE)
    import git_server

ROOT = HERE.parents[1]
RUNNER = ROOT / "build/node/node_modules/.bin/gitlab-ci-local"
SERVER = ROOT / "tests/release/gitlab_server.py"
JOB_TOKEN = "glcbt-job"

# Variables of GitLab's that gitlab-ci-local warns about when a test sets them, as GitLab would.
SET_BY_GITLAB = ",".join(
    f"CI_{name}"
    for name in (
        *("API_V4_URL", "PROJECT_ID", "JOB_TOKEN"),
        *("COMMIT_TAG", "COMMIT_BRANCH", "PIPELINE_SOURCE"),
    )
)


@dataclass(frozen=True)
class Run:
    """What came of a pipeline.

    Attributes:
        passed: Whether every job did.
        output: Everything it printed, without colours.
    """

    passed: bool
    output: str

    def of(self, job: str) -> str:
        """Return the lines that one job printed, without its name before each."""
        found = re.findall(rf"^{job}\s+[>$] ?(.*)$", self.output, re.MULTILINE)
        return "\n".join(found)


@dataclass(frozen=True)
class Project:
    """A clone of a repository, whose pipelines publish to a loopback server.

    Attributes:
        folder: The clone.
        home: Where gitlab-ci-local keeps what outlives a pipeline.
        registry: Root of GitLab's API.
        packages: What its jobs are lent.
    """

    folder: Path
    home: Path
    registry: str
    packages: Path

    def jobs(self, file: str = ".gitlab-ci.yml", **variables: str | None) -> list[str]:
        """Return the names of the jobs that a pipeline with these variables has, in order."""
        words = ("--file", file, "--list-csv")
        done = self._start(*words, variables=variables, stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
        return [line.partition(";")[0] for line in done.stdout.splitlines()[1:]]

    def preview(self) -> dict[str, Any]:
        """Return the pipeline with all that its jobs include, extend and refer to put in place."""
        done = self._start("--preview", variables={}, stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
        return dict(yaml.safe_load(done.stdout))

    def run(self, *jobs: str, **variables: str | None) -> Run:
        """Run the pipeline, or only these jobs of it; a variable that is None is unset.

        Four things are shortened by means that GitLab's users have as well, not by a
        switch in the file:

        * `make test` runs this very test, so MAKEFLAGS lets it print its commands only (and
          CMake builds with Ninja, which does not heed that);
        * installing torch once a job takes minutes, so PYTHONPATH lends every job the
          packages of this environment, less our own: each still makes its .venv, pip
          still holds every requirement against them, and installs torchcrate. The
          job `smoke` unsets it and installs what a consumer would;
        * setuptools is lent in the same way, so pip need not install it for each build;
        * a runner keeps the C++ program from pipeline to pipeline, and has the one that this
          suite built; what is compiled all the same, ccache may know.
        """
        done = self._start(*jobs, variables=variables, stderr=subprocess.STDOUT)
        return Run(done.returncode == 0, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout))

    def _start(
        self, *words: str, variables: dict[str, str | None], stderr: int
    ) -> "subprocess.CompletedProcess[str]":
        lent = {
            "CI_API_V4_URL": self.registry,
            "CI_PROJECT_ID": "42",
            "CI_JOB_TOKEN": JOB_TOKEN,
            "CCACHE_BASEDIR": os.environ.get("CCACHE_BASEDIR", str(self.folder.parent)),
            "CCACHE_DIR": os.environ.get("CCACHE_DIR", str(self.home / "ccache")),
            "CCACHE_NOHASHDIR": "true",
            "CMAKE_CXX_COMPILER_LAUNCHER": "ccache",
            "CMAKE_GENERATOR": "Ninja",
            "MAKEFLAGS": "--just-print",
            "PIP_NO_BUILD_ISOLATION": "false",  # pip's reading of it: do not isolate
            "PYTHON": sys.executable,
            "PYTHONPATH": str(self.packages),
        }
        options = ["--force-shell-executor", "--shell-isolation", "--home", str(self.home)]
        options += ["--ignore-predefined-vars", SET_BY_GITLAB]
        options += ["--ignore-schema-paths", "#/definitions/tags/minItems"]  # GitLab takes none
        for name, value in {**lent, **variables}.items():
            given = value is not None
            options += ["--variable", f"{name}={value}"] if given else ["--unset-variable", name]
        return subprocess.run(
            [RUNNER, *options, *words],
            cwd=self.folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            check=False,
        )


def _environment() -> dict[str, str]:
    """Return this environment with Node's folder, less what a GitLab job would not find in it."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CI_", "GCL_", "MAKE", "MNIST_", "PYTEST_", "PYTHON"))
    }
    return {**env, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"}


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """A GitLab on the loopback address, in its own process: the root of its API."""
    command = [sys.executable, str(SERVER), "--port", "0", "--prefix", "/gitlab"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        yield f"http://127.0.0.1:{port}/gitlab/api/v4"
        server.terminate()


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder whose git repositories are served, and the address below which they are."""
    root = tmp_path_factory.mktemp("repositories")
    with git_server.serving(root) as address:
        yield root, address


@pytest.fixture(scope="session")
def lent_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything installed here but this project: an editable one would hide the checkout's."""
    folder = tmp_path_factory.mktemp("lent") / "site-packages"  # whose files are nobody's own
    folder.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("torchcrate", "__editable__")):
            (folder / entry.name).symlink_to(entry)
    return folder


@pytest.fixture(scope="module")
def project_of(
    tmp_path_factory: pytest.TempPathFactory, registry: str, lent_packages: Path, libtorch: Path
) -> Callable[[Path, str], Project]:
    """Return what makes a folder a project: committed on main, with a remote as GitLab's clones.

    Its runner has the C++ program in its cache, as after an earlier pipeline.
    """

    def made(folder: Path, origin: str) -> Project:
        author = ["-c", "user.name=runner", "-c", "user.email=runner@example.com"]
        for command in (
            ["init", "--quiet", "--initial-branch=main"],
            ["remote", "add", "origin", origin],
            ["add", "--all"],
            [*author, "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", "All of it"],
            ["update-ref", "refs/remotes/origin/main", "HEAD"],
            ["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"],
        ):
            subprocess.run(["git", *command], cwd=folder, check=True)
        cache = folder / ".gitlab-ci-local/cache/torchcrate-cpp/build/cpp"
        cache.mkdir(parents=True)
        for name in (libtorch.name, "built-from"):
            shutil.copy2(libtorch.with_name(name), cache)
        return Project(folder, tmp_path_factory.mktemp("home"), registry, lent_packages)

    return made


@pytest.fixture(scope="module")
def checkout(
    tmp_path_factory: pytest.TempPathFactory, project_of: Callable[[Path, str], Project]
) -> Project:
    """This checkout as it stands, in a project of its own."""
    folder = tmp_path_factory.mktemp("checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    subprocess.run(
        ["rsync", "-a", "--from0", "--files-from=-", "--ignore-missing-args", f"{ROOT}/", folder],
        input=files.stdout,
        check=True,
    )
    return project_of(folder, "git@gitlab.example.com:group/crates.git")
