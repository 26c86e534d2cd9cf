"""README is true: its console examples are run again after a demo, and say what it says."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.seconds(80)

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
LISTED = re.compile(  # a version's date, commit, parity margin and size
    r"^(\S+ +published) +\d{4}-\d\d-\d\d +(?:[0-9a-f]{8}(?:-dirty)?|-)"
    r"( +\S+ %) +[\d.]+x +[\d.]+ MB$"
)
MARGIN = re.compile(r"(?<= )\d+(?:\.\d+)?x\b")  # of parity, as `diff` says it
NUMBER = re.compile(r"\d\.\d+e[+-]\d+|\d+\.\d+(?= %)")  # figures that depend on the processor


def examples() -> list[tuple[str, str]]:
    """Return each command of README's console blocks with the output printed below it."""
    found = []
    for block in CONSOLE.findall(README):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def said(output: str) -> list[str]:
    """Return the lines that tell, without progress and without the processor's last digits."""
    lines = [line for line in output.splitlines() if not re.fullmatch(r"\S+ \d+ bytes", line)]
    lines = [LISTED.sub(r"\1  DATE  COMMIT\2  MARGIN  SIZE", line) for line in lines]
    # The figures replaced had widths of their own, which the columns followed.
    return [re.sub(" {2,}", "  ", NUMBER.sub("#", MARGIN.sub("#x", line))) for line in lines]


@pytest.fixture(scope="module")
def demo(torchcrate: Callable[..., "subprocess.CompletedProcess[str]"]) -> str:
    done = torchcrate("demo", MNIST_DIR="")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_shows_the_table_of_the_readme(demo: str) -> None:
    shown = re.search(r"^runtime      asked with.*?(?=^```$)", README, re.M | re.S)

    assert shown
    assert len(demo.splitlines()) == len(shown[0].splitlines())
    for one, other in zip(demo.splitlines(), shown[0].splitlines(), strict=True):
        assert one.split()[:3] == other.split()[:3]
    assert demo.count(" 0 1 2 3 4 5 6 7 8 9  10/10 ") == 4


@pytest.mark.parametrize(("command", "output"), examples(), ids=lambda value: value[:60])
def test_each_example_says_what_the_readme_says(demo: str, command: str, output: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{command} 2>&1"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    where = next((i for i, line in enumerate(said(output)) if "vectors, worst" in line), None)
    want, got = said(output), said(done.stdout)
    if where is not None:  # which vector is worst depends on the processor too
        want[where], got[where] = want[where].split(" at ")[0], got[where].split(" at ")[0]
    assert got == want


def test_there_are_examples_for_every_kind_of_user() -> None:
    commands = " ".join(command for command, _ in examples())

    for word in ("run_libtorch", "run_onnx.py", "run_mnist.py", "pull", "versions"):
        assert word in commands
    for heading in ("A C++ team", "A Python team without torch", "A GitLab maintainer"):
        assert f"## {heading}" in README


def test_every_file_that_the_readme_links_is_there() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
