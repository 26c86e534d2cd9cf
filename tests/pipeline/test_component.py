"""The component in a repository of somebody else: from `torchcrate init` to a consumer's pull.

The repository is separate, on a git server of its own; it has a regressor with two inputs, which
`init` describes, and a tagger of tokens, described by hand. torchcrate is what a wheel installs.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from torchcrate.release.manifest import check_version

pytestmark = pytest.mark.seconds(220)

ROOT = Path(__file__).parents[2]
VERSION = (ROOT / "VERSION").read_text().strip()
COMPONENT = ROOT / "templates/release.yml"

PRICE = '''
"""What a home costs, by its figures and the kind of street."""

import torch
from torch import Tensor, nn


class Price(nn.Module):
    """figures (N, 6) float32, street (N,) int64 -> price (N, 1)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.figures = nn.Linear(6, width)
        self.street = nn.Embedding(12, width)
        self.last = nn.Linear(width, 1)

    def forward(self, figures: Tensor, street: Tensor) -> Tensor:
        return self.last(torch.relu(self.figures(figures) + self.street(street)))
'''

TAGGER = '''
"""What each word of an advertisement is: a room, a price, or nothing of interest."""

from torch import Tensor, nn


class Tagger(nn.Module):
    """tokens (N, T) int64 -> scores (N, T, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 8)
        self.reader = nn.LSTM(8, 8, batch_first=True, bidirectional=True)
        self.tags = nn.Linear(16, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.tags(self.reader(self.words(tokens))[0])
'''

CRATES = '''
"""What is published beside the table in pyproject.toml."""

from pathlib import Path

from torchcrate.model.spec import ModelSpec

TAGGER = ModelSpec(
    name="ad-tagger",
    build="homes.tagger:Tagger",
    inputs=("tokens:int64[batch,time] in 0..49 as tokens",),
    outputs=("scores:float32[batch,time,3]",),
    labels=("other", "room", "price"),
    sizes={"time": "1..40"},
    checkpoint=Path("weights/tagger.pth"),
    formats=("eager", "torchscript", "onnx", "cpp"),
)
'''

PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "Homes"
version = "1.4.0"

[tool.setuptools]
packages = ["homes"]
"""

SECOND = f"""
  - component: $CI_SERVER_FQDN/torchcrate/torchcrate/release@v{VERSION}
    inputs:
      name: ad-tagger
      spec: homes.crates:TAGGER
      prefix: tagger-
      release-page: false
"""

WEIGHTS = """
import torch
from homes.price import Price
from homes.tagger import Tagger

torch.manual_seed(7)
torch.save(Price().state_dict(), "weights/price.pth")
torch.save(Tagger().state_dict(), "weights/tagger.pth")
"""
ROAD = ["number", "export", "verify", "bench", "publish"]
TAG = {"CI_COMMIT_TAG": "v1.4.0", "CI_COMMIT_BRANCH": None}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.lstrip())


@pytest.fixture(scope="module")
def component(repositories: tuple[Path, str]) -> str:
    """Our repository as a GitLab serves it, with the tag of this version: the server's address."""
    root, address = repositories
    served = root / "torchcrate/torchcrate.git"
    write(root / "work", {"templates/release.yml": COMPONENT.read_text()})
    author = ["-c", "user.name=us", "-c", "user.email=us@example.com", "-c", "commit.gpgsign=false"]
    for command in (
        ["init", "--quiet", root / "work"],
        ["-C", root / "work", "add", "--all"],
        ["-C", root / "work", *author, "commit", "--quiet", "--message", "A release"],
        ["-C", root / "work", "tag", f"v{VERSION}"],
        ["clone", "--quiet", "--bare", root / "work", served],
        ["-C", served, "config", "uploadpack.allowFilter", "true"],
    ):
        subprocess.run(["git", *command], check=True)
    return address


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, checkout) -> Path:
    """This checkout, built."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", out, checkout.folder], check=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path, lent_packages: Path) -> Path:
    """The programs of an environment that holds the wheel, and is lent what it asks for."""
    home = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    pip = [sys.executable, "-m", "pip", "--python", home / "bin/python", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True)
    site = next(home.glob("lib/python*/site-packages"))
    (site / "lent.pth").write_text(f"{lent_packages}\n")
    return home / "bin"


@pytest.fixture(scope="module")
def homes(tmp_path_factory, project_of, component, installed, wheel):
    """Somebody's repository, prepared by `torchcrate init`, with a second crate by hand."""
    folder = tmp_path_factory.mktemp("homes")
    files = {"homes/__init__.py": "", "homes/price.py": PRICE, "homes/tagger.py": TAGGER}
    files |= {"homes/crates.py": CRATES, "pyproject.toml": PROJECT, "requirements.txt": "numpy\n"}
    write(folder, files)
    (folder / "weights").mkdir()
    subprocess.run([installed / "python", "-c", WEIGHTS], cwd=folder, check=True)
    init = ["--network", "homes.price:Price", "--checkpoint", "weights/price.pth"]
    subprocess.run([installed / "torchcrate", "init", *init], cwd=folder, check=True)
    # Of all that an index may have under the name, it is this wheel.
    given = ("inputs:\n", f"inputs:\n      torchcrate: {wheel}\n")
    first = (folder / ".gitlab-ci.yml").read_text().replace(*given)
    (folder / ".gitlab-ci.yml").write_text(first + SECOND.lstrip("\n").replace(*given))
    project = project_of(folder, f"{component}/people/homes.git")
    # gitlab-ci-local fetches a component for each include, all at once and into one folder,
    # where they meet each other's files. What one has fetched before, none fetches again.
    (folder / "first.yml").write_text(first)
    project.jobs("first.yml")
    (folder / "first.yml").unlink()
    return project


def test_the_wheel_installs_exactly_one_top_level_name(installed):
    site = next(installed.parent.glob("lib/python*/site-packages"))

    names = {path.name for path in site.iterdir()} - {"lent.pth"}

    assert names == {"torchcrate", f"torchcrate-{VERSION}.dist-info"}


@pytest.fixture(scope="module")
def preview(homes):
    return homes.preview()


@pytest.mark.parametrize(
    ("job", "variables", "asked"),
    [
        ("number", {}, ""),
        ("publish", {"TORCHCRATE_SIGN_KEY": "key.pem"}, " torchcrate[sign]"),
        ("publish", {"TORCHCRATE_VERIFY_KEY": "key.pem"}, " torchcrate[sign]"),
        ("export", {}, " torchcrate[export] --requirement requirements.txt ."),
        ("tagger-verify", {}, " torchcrate[export] --requirement requirements.txt ."),
        ("smoke", {}, ""),
    ],
)
def test_a_job_asks_pip_for_torchcrate_and_what_it_needs_and_no_more(
    homes, preview, wheel, tmp_path, job, variables, asked
):
    """Its own script, with its own variables, by a Python that only notes what it is asked."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/calls\n[ "$2" = venv ]\n')
    python.chmod(0o755)

    script = "\n".join(["set -eo pipefail", *preview[job]["before_script"]])
    env = {**preview[job]["variables"], **variables, "PYTHON": str(python)}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=homes.folder,
        env={"PATH": os.environ["PATH"], **env},
        check=False,
    )

    assert done.returncode == 1  # this Python installs nothing
    assert (tmp_path / "calls").read_text().splitlines() == [
        "-m venv --without-pip .venv",
        f"-m pip install --no-compile {wheel}{asked}",
    ]


def test_two_crates_of_one_repository_have_the_jobs_that_a_pipeline_allows(homes):
    tried = {"check", "export", "verify"}
    whole = {*tried, "number", "bench", "publish", "smoke"}
    both = {f"tagger-{job}" for job in whole} | whole

    assert set(homes.jobs(**TAG)) == both | {"release"}
    assert set(homes.jobs()) == both
    assert set(homes.jobs(CI_COMMIT_BRANCH="feature")) == set()


def test_a_tag_goes_all_the_way_to_a_consumer(homes, installed, libtorch, registry, tmp_path):
    """The consumer pulls both crates, and the one C++ program that there is runs both."""
    # A crate that nobody raced is published without figures.
    tagged = [f"tagger-{job}" for job in ROAD if job != "bench"]
    jobs = ["check", *ROAD, "smoke", "release", *tagged]

    run = homes.run(*jobs, **TAG)

    print(run.output)
    assert run.passed
    assert set(re.findall(r"^ PASS +(\S+)", run.output, re.MULTILINE)) == set(jobs)
    assert "1 passed" in run.of("check")  # the test that `init` wrote
    assert "selftest passed" in run.of("smoke")
    asked = {
        "homes": {"figures": [[1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 0, 0]], "street": [3, 11]},
        "ad-tagger": {"tokens": [[1, 49, 7], [0, 0, 2]]},
    }
    for name, inputs in asked.items():
        crate = tmp_path / name
        pull = ["pull", f"{name}@1.4.0", "--from", f"{registry}/projects/42", "--out", crate]
        consumer([installed / "torchcrate", *pull])
        assert (crate / "bench.json").exists() == (name == "homes")
        programs = [[installed / "python", crate / "run_onnx.py"], [libtorch, "--crate", crate]]
        answers = []
        for program in programs:
            assert "selftest passed" in consumer([*program, "--selftest"])
            answers.append(json.loads(consumer([*program, "--json"], json.dumps(inputs))))
        one, other = answers
        assert one.keys() == other.keys()
        for output in one:
            assert flat(other[output]) == pytest.approx(flat(one[output]), rel=1e-4, abs=1e-4)
            assert len(set(flat(one[output]))) > 1


def consumer(command: list[Path | str], given: str = "") -> str:
    """Run a consumer's command; return what it prints."""
    done = subprocess.run(
        command,
        input=given,
        env={**os.environ, "GITLAB_TOKEN": "glpat-guest"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def flat(value: object) -> list[float]:
    """Return the numbers of nested lists."""
    return [x for each in value for x in flat(each)] if isinstance(value, list) else [value]


def test_the_component_needs_the_packages_that_a_checkout_needs():
    spec, _ = yaml.safe_load_all(COMPONENT.read_text())
    packages = spec["spec"]["inputs"]["packages"]["default"].split()
    setup = (ROOT / ".ci/setup").read_text()
    part = re.search(r"if wants cpp; then(.*?)\n    fi", setup, re.DOTALL)

    assert part
    # A line that ends in a comment is of what only the bench builds.
    assert packages == re.findall(r"echo (\S+)$", part[1], re.MULTILINE)


def test_every_input_is_described_and_used():
    text = COMPONENT.read_text()
    spec, _ = yaml.safe_load_all(text)

    for name, said in spec["spec"]["inputs"].items():
        assert said.get("description") or name.startswith("stage-"), name
        assert f"$[[ inputs.{name} ]]" in text, name


def test_what_a_merge_request_exports_has_a_version():
    (version,) = re.findall(r"CRATE_VERSION:-([^}]+)", COMPONENT.read_text())

    assert check_version(version) == version
