"""A GitLab on the loopback address, and small crates that need no torch."""

import hashlib
import json
import os
import random
import select
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from torchcrate.export.artifact import Artifact, Role, sha256_of
from torchcrate.model.digits import DIGITS
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.gitlab import GitLabRegistry
from torchcrate.release.manifest import MANIFEST, SUMS, Manifest, content_digest
from torchcrate.release.registry import Registry
from torchcrate.release.retry import Patience
from torchcrate.release.settings import Credential, Settings
from torchcrate.verify.report import Parity, Report

HERE = Path(__file__).parent

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(HERE)
    import tiny

QUICK = Patience(tries=4, total=20, first=0.01, longest=0.05, connect=2, silence=2)
HASTY = Patience(tries=2, total=20, first=0.01, longest=0.05, connect=2, silence=0.5)
CONTENT: dict[str, Role] = {
    "CMakeLists.txt": "source",
    "INSTRUCTION.md": "instruction",
    "LICENSE": "licence",
    "model.onnx": "onnx",
    "model.pt": "torchscript",
    "model.pth": "state_dict",
    "requirements-onnx.txt": "requirements",
    "run_mnist.py": "runner",
}
FORMATS = {
    "CMakeLists.txt": ("cpp",),
    "model.onnx": ("onnx",),
    "model.pt": ("torchscript", "cpp"),
    "model.pth": ("eager",),
    "requirements-onnx.txt": ("onnx",),
    "run_mnist.py": ("onnx", "torchscript", "eager"),
}


@dataclass(frozen=True)
class Gitlab:
    """The server process, as a test steers it and looks into it."""

    port: int
    open: ExitStack
    prefix: str = ""

    @property
    def root(self) -> str:
        """Where the server is."""
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    @property
    def project(self) -> str:
        """URL of the project in the API."""
        return f"{self.root}/api/v4/projects/42"

    def url(self, name: str, version: str, file: str) -> str:
        """URL of one file."""
        return f"{self.project}/packages/generic/{name}/{version}/{file}"

    def registry(
        self,
        token: str = "glpat-developer",
        header: str = "PRIVATE-TOKEN",
        patience: Patience = QUICK,
        on_notice: Callable[[str], None] = print,
        rehearse: Callable[[str], None] | None = None,
    ) -> GitLabRegistry:
        """Return a client of it, closed when the test ends."""
        settings = Settings(self.project, Credential(header, token), patience)
        return self.open.enter_context(closing(GitLabRegistry(settings, on_notice, rehearse)))

    def reset(self, **options: Any) -> None:
        """Begin anew, set up like this."""
        self._control("reset", options)

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self._control("heal", {})

    def fault(self, kind: str, **where: Any) -> None:
        """Let something go wrong."""
        self._control("fault", {"kind": kind, **where})

    def log(self, method: str = "") -> list[dict[str, Any]]:
        """Return every request so far, of this method."""
        entries = self._control("log")
        return [entry for entry in entries if method in ("", entry["method"])]

    def sent(self) -> list[str]:
        """Return the file names of the uploads that were stored, in order."""
        return [
            entry["path"].rpartition("/")[2]
            for entry in self.log("PUT")
            if entry["status"] in (200, 201)
        ]

    def asked(self, method: str, file: str) -> int:
        """Return how many requests of a method for a path that ends so have reached the server."""
        arrived = self._control("arrived")
        return sum(each == method and path.endswith(f"/{file}") for each, path in arrived)

    def packages(self) -> list[dict[str, Any]]:
        """Return everything that stands, hidden or not."""
        found: list[dict[str, Any]] = self._control("state")["packages"]
        return found

    def visible(self) -> dict[str, dict[str, str]]:
        """Return the sha256 of each file that readers get, by name@version."""
        found: dict[str, dict[str, str]] = self._control("state")["visible"]
        return found

    def _control(self, what: str, body: dict[str, Any] | None = None) -> Any:
        url = f"http://127.0.0.1:{self.port}/_control/{what}"
        data = None if body is None else json.dumps(body).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for pause in (0.1, 0.2, 0.5, 1, 2, 5, 0):
            try:
                with opener.open(urllib.request.Request(url, data=data), timeout=10) as answer:
                    return json.load(answer)
            except urllib.error.URLError:  # a fault of its own: nobody listens for a moment
                if not pause:
                    raise
                time.sleep(pause)


def start_gitlab(folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], int]:
    """Start the server as a process that keeps its files in `folder`; return it with its port."""
    command = [sys.executable, str(HERE / "gitlab_server.py"), "--port", "0", *arguments]
    env = {**os.environ, "TMPDIR": str(folder)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout
    ready, _, _ = select.select([process.stdout], [], [], 30)
    assert ready, "the loopback server did not start"
    return process, int(process.stdout.readline())


@pytest.fixture(scope="session")
def gitlab_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of one server process for all tests."""
    process, port = start_gitlab(tmp_path_factory.mktemp("gitlab"))
    with process:
        yield port
        process.kill()


@pytest.fixture
def gitlab(gitlab_port: int) -> Iterator[Gitlab]:
    """A GitLab that holds nothing yet."""
    with ExitStack() as stack:
        gitlab = Gitlab(gitlab_port, stack)
        gitlab.reset()
        yield gitlab
        gitlab.reset()  # large files are not kept until the next test


@pytest.fixture
def gitlab_below(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gitlab]:
    """A GitLab that lives under a sub-path of its host."""
    process, port = start_gitlab(tmp_path_factory.mktemp("below"), "--prefix", "/tools/gitlab")
    with process, ExitStack() as stack:
        yield Gitlab(port, stack, "/tools/gitlab")
        process.kill()


@pytest.fixture(params=["folder", "gitlab"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """An empty registry of each kind: what a test says holds for both."""
    if request.param == "folder":
        return FolderRegistry(tmp_path / "registry")
    gitlab: Gitlab = request.getfixturevalue("gitlab")
    return gitlab.registry()


MODELS: dict[str, Callable[[bytes], bytes]] = {
    "model.onnx": tiny.onnx,
    "model.pt": tiny.torchscript,
    "model.pth": tiny.state_dict,
}
MakeCrate = Callable[..., Path]


@pytest.fixture
def make_crate(tmp_path: Path) -> MakeCrate:
    """Make sealed crates of a few bytes a file, the same for the same seed."""
    made = 0

    def make(
        version: str = "1.0.0",
        *,
        name: str = "mnist-net",
        seed: int = 0,
        evidence: int = 0,
        changed: tuple[str, ...] = (),
        green: bool = True,
        unjudged: tuple[str, ...] = (),
    ) -> Path:
        """Return a crate; `changed` content files differ, and so does evidence by number."""
        nonlocal made
        made += 1
        crate = tmp_path / f"crate-{made}"
        crate.mkdir()
        for file in CONTENT:
            noise = random.Random(f"{seed} {file} {file in changed}").randbytes(100)
            (crate / file).write_bytes(MODELS.get(file, bytes)(noise))
        golden = random.Random(f"golden {evidence}").randbytes(100)
        (crate / "golden.safetensors").write_bytes(tiny.golden(golden))
        seal(crate, name, version, green=green, unjudged=unjudged)
        return crate

    return make


@pytest.fixture
def crate(make_crate: MakeCrate) -> Path:
    """One sealed crate, mnist-net 1.0.0."""
    return make_crate()


def seal(
    crate: Path,
    name: str,
    version: str,
    *,
    green: bool = True,
    unjudged: tuple[str, ...] = (),
) -> Manifest:
    """Write parity.json, manifest.json and SHA256SUMS over the files in `crate`."""
    roles: dict[str, Role] = {
        **CONTENT,
        "golden.safetensors": "golden",
        "provenance.json": "provenance",
    }
    files = [
        Artifact.of(path, roles.get(path.name, "source"), FORMATS.get(path.name, ()))
        for path in sorted(crate.iterdir())
        if path.name not in ("parity.json", MANIFEST, SUMS)
    ]
    parity = Parity(
        runtime="onnx",
        way="tensors",
        inputs=4,
        images=9,
        limit=2e-5,
        maximum=1e-6,
        p999=9e-7,
        flips=0,
        margin=0.5,
        needed=1e-6,
        worst="noise",
        passed=green,
    )
    judged = {f.name: f.sha256 for f in files if f.name not in unjudged and f.role != "provenance"}
    machine = {"golden": sha256_of(crate / "golden.safetensors")}  # differs as machines do
    (crate / "parity.json").write_bytes(Report(judged, machine, (parity,), ()).dump())
    files.append(Artifact.of(crate / "parity.json", "parity"))
    ordered = tuple(sorted(files, key=lambda file: file.name))
    manifest = Manifest(
        name=name,
        version=version,
        contract=DIGITS,
        metrics={"accuracy": 0.993},
        tools={"torch": "2.13.0"},
        minimum={"onnxruntime": "1.20"},
        commit="",
        content=content_digest(ordered),
        files=ordered,
        parity=(parity,),
    )
    manifest = Manifest.parse(manifest.dump())  # as sealing reads it back: 255 becomes 255.0
    (crate / MANIFEST).write_bytes(manifest.dump())
    (crate / SUMS).write_bytes(manifest.sums())
    return manifest


@pytest.fixture
def contents() -> Callable[[Path], dict[str, str]]:
    """Return the sha256 of every file below a folder, hidden ones too, by relative path."""

    def read(folder: Path) -> dict[str, str]:
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return read


@pytest.fixture
def reseal() -> Callable[[Path, str], Manifest]:
    """Seal mnist-net of a version again after its files changed."""
    return lambda crate, version: seal(crate, "mnist-net", version)


@pytest.fixture
def alter() -> Callable[..., Path]:
    """Let a sealed crate state something else, say another contract or other metrics."""

    def altered(crate: Path, **stated: Any) -> Path:
        manifest = replace(Manifest.parse((crate / MANIFEST).read_bytes()), **stated)
        (crate / MANIFEST).write_bytes(manifest.dump())
        (crate / SUMS).write_bytes(manifest.sums())
        return crate

    return altered


@pytest.fixture
def hasty() -> Patience:
    """Give up soon: two tries."""
    return HASTY
