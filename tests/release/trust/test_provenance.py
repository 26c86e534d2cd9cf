"""Where a crate comes from is told in a form that others read, and tells nothing of people."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from in_toto_attestation.v1.statement import Statement

from torchcrate.errors import RegistryError
from torchcrate.export.artifact import Artifact, sha256_of
from torchcrate.model.digits import MNIST
from torchcrate.release.crate import DRAFT, open_sealed
from torchcrate.release.leftover import adopt
from torchcrate.release.manifest import SIGNATURE, Manifest
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull
from torchcrate.release.trust.provenance import (
    BUILD_TYPE,
    LOCAL,
    Materials,
    Origin,
    alike,
    statement,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
JOB = {
    "CI_SERVER_URL": "https://gitlab.example.com",
    "CI_PROJECT_URL": "https://gitlab.example.com/group/net",
    "CI_COMMIT_SHA": COMMIT,
    "CI_PIPELINE_URL": "https://gitlab.example.com/group/net/-/pipelines/7",
    "CI_JOB_URL": "https://gitlab.example.com/group/net/-/jobs/9",
    "CI_JOB_TOKEN": "glcbt-secret",
    "GITLAB_USER_LOGIN": "somebody",
    "GITLAB_USER_EMAIL": "somebody@example.com",
    "CI_REPOSITORY_URL": "https://gitlab-ci-token:glcbt-secret@gitlab.example.com/group/net.git",
    "CI_PROJECT_DIR": "/builds/group/net",
}
CLIENT = """
import sys
from pathlib import Path
from torchcrate.release.publish import publish
from torchcrate.release.registry import open_registry
from torchcrate.release.trust.signature import Signer
sys.stdin.readline()
with open_registry(sys.argv[1], {"GITLAB_TOKEN": "glpat-developer"}) as registry:
    publish(Path(sys.argv[2]), registry, signer=Signer.from_file(Path(sys.argv[3])))
"""


@pytest.fixture
def draft(drafted: Path) -> Manifest:
    return Manifest.parse((drafted / DRAFT).read_bytes())


def told(draft: Manifest, origin: Origin, **materials: object) -> dict:
    value = Materials("c" * 64, **materials)  # type: ignore[arg-type]
    return json.loads(statement(draft, origin, value))


def test_it_names_every_content_file_and_no_evidence(drafted, draft):
    said = json.loads((drafted / "provenance.json").read_bytes())

    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in said["subject"]}
    assert subjects == {file.name: file.sha256 for file in draft.files if file.kind == "content"}
    assert "INSTRUCTION.md" in subjects


def test_it_is_evidence_of_its_own_role(draft):
    found = [file for file in draft.files if file.role == "provenance"]

    assert [(file.name, file.kind) for file in found] == [("provenance.json", "evidence")]


def test_it_is_an_in_toto_statement_by_the_fields_own_reader(drafted):
    """Read by the library of the in-toto project."""
    said = json.loads((drafted / "provenance.json").read_bytes())
    from google.protobuf import json_format
    from in_toto_attestation.v1 import statement_pb2

    read = json_format.ParseDict(said, statement_pb2.Statement())

    Statement.copy_from_pb(read).validate()
    assert read.predicate_type == "https://slsa.dev/provenance/v1"


def test_a_job_is_told_by_its_addresses(draft):
    said = told(draft, Origin.from_env(JOB, COMMIT))["predicate"]

    build, run = said["buildDefinition"], said["runDetails"]
    assert build["buildType"] == BUILD_TYPE
    assert build["externalParameters"]["version"] == draft.version
    assert build["internalParameters"]["pipeline"] == JOB["CI_PIPELINE_URL"]
    assert build["resolvedDependencies"][0] == {
        "uri": f"git+https://gitlab.example.com/group/net.git@{COMMIT}",
        "digest": {"gitCommit": COMMIT},
    }
    assert run["builder"]["id"] == JOB["CI_SERVER_URL"]
    assert run["metadata"]["invocationId"] == JOB["CI_JOB_URL"]
    assert {"torch", "onnx", "python", "torchcrate"} <= set(run["builder"]["version"])


def test_checkpoint_and_data_are_told_by_their_sums(drafted):
    said = json.loads((drafted / "provenance.json").read_bytes())["predicate"]

    found = {
        entry["name"]: entry["digest"]["sha256"]
        for entry in said["buildDefinition"]["resolvedDependencies"]
        if "name" in entry
    }
    assert found["checkpoint"] == sha256_of(MNIST.checkpoint)
    assert len(found) == 5
    assert re.fullmatch("[0-9a-f]{64}", found["train-images-idx3-ubyte"])


def test_outside_a_job_nothing_is_made_up(draft):
    said = told(draft, Origin.from_env({}, ""))["predicate"]

    assert said["runDetails"]["builder"]["id"] == LOCAL
    assert said["runDetails"]["metadata"] == {}
    assert [entry["name"] for entry in said["buildDefinition"]["resolvedDependencies"]] == [
        "checkpoint"
    ]


def test_files_changed_since_the_commit_are_told(draft):
    said = told(draft, Origin(commit=f"{COMMIT}-dirty"))["predicate"]

    (source, _) = said["buildDefinition"]["resolvedDependencies"]
    assert source["annotations"] == {"dirty": True}
    assert source["digest"] == {"gitCommit": COMMIT}


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://user:secret@gitlab.example.com/g/p?private_token=secret#x", "/g/p"),
        ("https://gitlab.example.com:8443/tools/g/p", ":8443/tools/g/p"),
        ("/home/somebody/net", ""),
        ("file:///home/somebody/net", ""),
        ("https://[", ""),
        ("https://gitlab.example.com:x/g", ""),
    ],
)
def test_an_address_is_told_without_what_may_be_secret(url, kept):
    told = Origin.from_env({"CI_PROJECT_URL": url}, "").repository

    assert told == (f"https://gitlab.example.com{kept}" if kept else "")


def test_no_person_token_or_folder_is_told(draft, drafted):
    text = json.dumps(told(draft, Origin.from_env(JOB, COMMIT)))
    text += (drafted / "provenance.json").read_text()

    for secret in ("somebody", "glcbt", "/builds", str(Path.home()), str(Path.cwd()), "@example"):
        assert secret not in text
    assert JOB["CI_JOB_URL"] in text


def test_all_but_provenance_is_judged(sealed):
    """So that another job's, which says as much of the same crate, can take its place."""
    manifest = open_sealed(sealed)

    judged = json.loads((sealed / "parity.json").read_bytes())["judged"]
    assert {file.name for file in manifest.files} - judged.keys() == {
        "provenance.json",
        "parity.json",
    }


@pytest.fixture
def build(make_crate, reseal):
    """Build and judge the same content by a job, on a machine and from a commit."""

    def built(number, machine=0, commit=COMMIT):
        crate = make_crate(evidence=machine)
        job = {**JOB, "CI_JOB_URL": f"{JOB['CI_PROJECT_URL']}/-/jobs/{number}"}
        origin = Origin.from_env(job, commit)
        data = statement(open_sealed(crate), origin, Materials("c" * 64))
        (crate / "provenance.json").write_bytes(data)
        manifest = reseal(crate, "1.0.0")
        assert Artifact.of(crate / "provenance.json", "provenance") in manifest.files
        return crate

    return built


@pytest.fixture
def two_builds(build):
    """The same content, built and judged by two jobs on two machines."""
    return build(1, machine=1), build(2, machine=2)


def test_what_another_job_left_is_finished_with_its_evidence(two_builds, gitlab, tmp_path):
    """Golden vectors, provenance and parity of the first job; nothing is sent twice."""
    first, second = two_builds
    gitlab.fault("500", times=0, method="PUT", file="/SHA256SUMS")
    with pytest.raises(Exception, match="500"):
        publish(first, gitlab.registry())
    gitlab.heal()

    publish(second, gitlab.registry())

    visible = gitlab.visible()["mnist-net@1.0.0"]
    for name in ("golden.safetensors", "provenance.json", "parity.json"):
        assert visible[name] == sha256_of(first / name)
        assert gitlab.sent().count(name) == 1


def killed(gitlab, crate, key, at):
    """Publish a signed crate, and kill the process when its upload number `at` was stored."""
    command = [sys.executable, "-c", CLIENT, gitlab.project, str(crate), str(key)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as client:
        gitlab.fault("kill-after", method="PUT", at=at, pid=client.pid)
        client.communicate(b"go\n", timeout=60)
    assert client.returncode == -9
    gitlab.heal()


def test_another_job_finishes_what_was_killed_after_any_upload_where_duplicates_are_refused(
    build, gitlab, signer, keys, tmp_path
):
    first, second = build(1), build(2)
    uploads = [*(path.name for path in first.iterdir()), SIGNATURE]
    public = keys / "ours.pub.pem"

    for at in range(1, len(uploads)):
        gitlab.reset(duplicates=False)
        killed(gitlab, first, keys / "ours.pem", at)
        left = gitlab.sent()
        assert len(left) == at
        assert gitlab.visible() == {}

        done = publish(second, gitlab.registry(), signer=signer)

        assert sorted([*done.kept, *done.uploaded]) == sorted(uploads)
        assert list(done.kept) == left
        pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out", verify_key=public)
        told = (tmp_path / "out" / "provenance.json").read_bytes()
        made_by = first if "provenance.json" in left else second
        assert told == (made_by / "provenance.json").read_bytes()


@pytest.mark.parametrize("duplicates", [True, False])
def test_what_was_left_from_another_commit_is_not_taken_over(build, gitlab, tmp_path, duplicates):
    first, second = build(1, commit="f" * 40), build(2)
    gitlab.reset(duplicates=duplicates)
    gitlab.fault("401", method="PUT", file="/parity.json")
    with pytest.raises(RegistryError, match="401"):
        publish(first, gitlab.registry())

    if not duplicates:
        words = r"another provenance\.json.*publish the crate that .* began with.*next version"
        with pytest.raises(RegistryError, match=words):
            publish(second, gitlab.registry())
        second = first
    publish(second, gitlab.registry())

    pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    told = (tmp_path / "out" / "provenance.json").read_bytes()
    assert told == (second / "provenance.json").read_bytes()


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"null", b"[" * 10**5, b"\xff"])
def test_what_is_no_statement_is_like_none(build, data):
    whole = (build(1) / "provenance.json").read_bytes()

    assert alike(whole, whole)
    assert not alike(whole, data)
    assert not alike(data, data)


def test_golden_vectors_without_the_parity_that_judged_them_are_not_taken_over(two_builds, shelf):
    first, second = (open_sealed(crate) for crate in two_builds)
    publish(two_builds[0], shelf)
    held = {file.name: file.sha256 for file in first.files}

    assert adopt(second, two_builds[1], held, shelf) == first
    assert adopt(second, two_builds[1], {**held, "parity.json": None}, shelf) == second


def test_parity_is_the_last_evidence_to_go_up(two_builds, gitlab):
    """Then whoever finds it finds all that it judged."""
    publish(two_builds[0], gitlab.registry())

    sent = gitlab.sent()
    assert sent.index("provenance.json") < sent.index("parity.json")


def test_the_same_content_from_another_job_is_the_same_version(two_builds, registry):
    publish(two_builds[0], registry)

    assert publish(two_builds[1], registry).already_there


def test_git_says_the_commit(tmp_path):
    """As GitLab's runner checks it out: by its full name."""
    git = shutil.which("git")
    assert git
    from torchcrate.release.origin import commit_of

    for command in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=b", "commit", "-q"]):
        extra = ["--allow-empty", "-m", "x"] if "commit" in command else []
        subprocess.run([git, *command, *extra], cwd=tmp_path, check=True)

    assert re.fullmatch("[0-9a-f]{40}", commit_of(tmp_path))
