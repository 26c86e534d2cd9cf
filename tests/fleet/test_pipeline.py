"""A fleet becomes the jobs of a child pipeline, one a network, as gitlab-ci-local reads it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from torchcrate.errors import UsageError
from torchcrate.fleet.members import Member
from torchcrate.fleet.pipeline import LARGEST, pipeline

ROOT = Path(__file__).parents[2]
COMPONENT = ROOT / "templates/release.yml"
RUNNER = ROOT / "build/node/node_modules/.bin/gitlab-ci-local"


def entries(text: str) -> dict[str, list[dict[str, str]]]:
    """Return the matrix of each job."""
    jobs = yaml.safe_load(text)
    return {
        name: job["parallel"]["matrix"] for name, job in jobs.items() if "parallel" in (job or {})
    }


def test_each_network_has_one_job_that_names_it() -> None:
    fleet = [Member("pkg.net:SPEC", "net"), Member("pkg.tagger:ÄRGER", 'it\'s "odd" # $x: y')]

    found = entries(pipeline(fleet))

    assert found == {
        "crate": [
            {"CRATE": "net", "SPEC": "pkg.net:SPEC"},
            {"CRATE": 'it\'s "odd" # $x- y', "SPEC": "pkg.tagger:ÄRGER"},
        ]
    }


def test_a_network_that_cannot_be_read_has_a_job_that_will_say_why() -> None:
    fleet = [Member("a:SPEC", "a:SPEC", UsageError("there is no module a"))]

    assert entries(pipeline(fleet)) == {"crate": [{"CRATE": "a-SPEC", "SPEC": "a:SPEC"}]}


@pytest.mark.parametrize("count", [LARGEST, LARGEST + 1, 5 * LARGEST])
def test_no_matrix_is_larger_than_gitlab_takes(count: int) -> None:
    fleet = [Member(f"pkg:N{number}", f"n-{number}") for number in range(count)]

    found = entries(pipeline(fleet))

    assert len(found) == -(-count // LARGEST)
    assert max(map(len, found.values())) == LARGEST
    assert [one["SPEC"] for part in found.values() for one in part] == [m.target for m in fleet]


def test_a_job_exports_verifies_and_publishes_only_what_is_to_be_out() -> None:
    job = yaml.safe_load(pipeline([Member("a:B", "b")]))[".crate"]

    script = " ".join(job["script"])
    assert script.index(" export ") < script.index(" verify ") < script.index(" publish ")
    assert [rule.get("if") for rule in job["rules"]] == [
        "$CI_COMMIT_TAG =~ /^v/",
        "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH",
        None,
    ]
    assert [rule.get("variables") for rule in job["rules"]] == [
        {"PUBLISH": "yes"},
        {"PUBLISH": "yes"},
        None,
    ]


def test_a_job_makes_its_environment_as_the_component_does() -> None:
    text = COMPONENT.read_text().replace("python$[[ inputs.python-version ]]", "python3")
    inputs, jobs = yaml.safe_load_all(text)
    theirs, cpp = jobs[".$[[ inputs.prefix ]]crate"], jobs[".$[[ inputs.prefix ]]cpp"]
    head = yaml.safe_load(pipeline([Member("a:B", "b")]))
    job = head[".crate"]

    assert job["before_script"] == theirs["before_script"]
    assert job["variables"] == jobs[".$[[ inputs.prefix ]]network"]["variables"]
    assert head["variables"]["TORCHCRATE"] == inputs["spec"]["inputs"]["torchcrate"]["default"]
    assert head["variables"]["PACKAGES"] == inputs["spec"]["inputs"]["packages"]["default"]
    assert job["cache"] == cpp["cache"]
    packages, steps = cpp["before_script"][0], job["script"]
    assert steps.index(packages) < steps.index("torchcrate verify build/crate")


def test_gitlab_ci_local_lists_the_jobs_of_what_the_command_writes(
    tmp_path: Path, torchcrate: "Callable[..., subprocess.CompletedProcess[str]]"
) -> None:
    (tmp_path / "nets.py").write_text(
        "from torchcrate.model.spec import ModelSpec\n"
        'IN = ("x:float32[batch,2]",)\n'
        'ONE = ModelSpec("one", "torch.nn:Identity", IN)\n'
        'TWO = ModelSpec("two", "torch.nn:Identity", IN)\n'
    )
    (tmp_path / "fleet.txt").write_text("nets:TWO\nnets:ONE\ngone:SPEC\n")
    written = torchcrate("fleet", "fleet.txt", "--gitlab-ci", cwd=tmp_path)
    (tmp_path / "fleet.yml").write_text(written.stdout)
    author = ["-c", "user.name=runner", "-c", "user.email=runner@example.com"]
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["remote", "add", "origin", "git@gitlab.example.com:group/nets.git"],
        [*author, "commit", "--quiet", "--no-gpg-sign", "--allow-empty", "--message", "one"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)

    listed = subprocess.run(
        [RUNNER, "--file", "fleet.yml", "--list-csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert written.returncode == 0
    assert written.stderr.startswith("gone:SPEC: there is no module gone")
    assert listed.returncode == 0, listed.stderr
    jobs = [line.split(";")[0].strip('"') for line in listed.stdout.splitlines() if "crate" in line]
    assert jobs == [
        "crate: [two,nets:TWO]",
        "crate: [one,nets:ONE]",
        "crate: [gone-SPEC,gone:SPEC]",
    ]
