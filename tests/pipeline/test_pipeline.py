"""The pipeline, run as GitLab would: who may publish what, and what a reader then sees.

One project lives through these tests in order: nothing published, a pipeline of the
default branch, the tag, and the branch again before VERSION was raised. The jobs are those of
templates/release.yml, included as `.gitlab-ci.yml` includes them.
"""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gitlab
import pytest
import yaml

pytestmark = pytest.mark.seconds(230)

ROOT = Path(__file__).parents[2]
PIPELINE = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
RELEASE = (ROOT / "VERSION").read_text().strip()
BRANCH: dict[str, str | None] = {}
MERGE_REQUEST = {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_COMMIT_BRANCH": None}
TAG = {"CI_COMMIT_TAG": f"v{RELEASE}", "CI_COMMIT_BRANCH": None}
ROAD = ["number", "export", "verify", "bench", "publish"]


class Reader:
    """Someone who may read the project, with GitLab's own Python client."""

    def __init__(self, api: str) -> None:
        client = gitlab.Gitlab(api.removesuffix("/api/v4"), private_token="glpat-guest", timeout=10)
        self.project = client.projects.get(42, lazy=True)

    def versions(self) -> list[str]:
        """Return what the package registry lists, in the order of publishing."""
        return [f"{p.name} {p.version}" for p in self.project.packages.list(get_all=True)]

    def files(self, version: str) -> dict[str, str]:
        """Return the server's own sha256 of each file of a version; a second copy fails."""
        found = [p for p in self.project.packages.list(get_all=True) if p.version == version]
        files = [file for p in found for file in p.package_files.list(get_all=True)]
        assert len({file.file_name for file in files}) == len(files)
        return {file.file_name: file.file_sha256 for file in files}

    def read(self, version: str, name: str) -> bytes:
        """Return the bytes of one file."""
        packages = self.project.generic_packages
        return bytes(packages.download("mnist-net", version, name))

    def release(self, tag: str) -> tuple[str, set[str]]:
        """Return what the release page of a tag says, and the files that it links."""
        page = self.project.releases.get(tag)
        links = {link["direct_asset_url"].rpartition("/")[2] for link in page.assets["links"]}
        return page.description, links


@pytest.fixture(scope="module")
def reader(registry):
    return Reader(registry)


class Chat(BaseHTTPRequestHandler):
    """A service that people watch: it keeps what it gets."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(json.loads(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Keep quiet."""


@pytest.fixture
def chat():
    with ThreadingHTTPServer(("127.0.0.1", 0), Chat) as server:
        server.got = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def jobs_of(run):
    """Return how each job ended, in the order of gitlab-ci-local's summary."""
    return re.findall(r"^ (PASS|FAIL|WARN) +(\S+)", run.output, re.MULTILINE)


@pytest.mark.parametrize(
    ("pipeline", "jobs"),
    [
        (MERGE_REQUEST, {"test", "check", "export", "verify", "bench"}),
        (BRANCH, {"test", "check", *ROAD, "smoke"}),
        (TAG, {"test", "check", *ROAD, "smoke", "release"}),
        ({"CI_COMMIT_BRANCH": "feature"}, {"test"}),  # there is no pipeline, says `workflow:`
    ],
    ids=["merge request", "default branch", "tag", "another branch"],
)
def test_who_may_publish_and_who_only_tries(checkout, pipeline, jobs):
    assert set(checkout.jobs(**pipeline)) == jobs


def test_the_test_job_runs_every_kind_of_test_and_reports_each(checkout):
    reports = PIPELINE["test"]["artifacts"]["reports"]["junit"]

    run = checkout.run("test")

    commands = run.of("test")
    written = re.findall(r"--(?:junit-xml|output-junit)[= ]([^\s;]+)", commands)
    for tool in ("ruff check", "mypy -p torchcrate", "ctest --test-dir", "bin/pytest"):
        assert tool in commands
    assert len(written) == 2
    assert all(Path(path).match(reports) for path in written)


def test_a_tag_that_differs_from_the_version_stops_before_anything_is_built(checkout, reader):
    run = checkout.run(*ROAD, **TAG | {"CI_COMMIT_TAG": "v999.0.0"})

    assert jobs_of(run) == [("FAIL", "number")]
    assert f"Error: the tag is v999.0.0 but VERSION holds {RELEASE}: " in run.of("number")
    assert reader.versions() == []


def test_the_default_branch_makes_a_step_towards_the_release(checkout):
    """The rest of its pipeline is the tag's, by the names of the jobs."""
    run = checkout.run("number", **BRANCH)

    assert run.passed, run.output
    version = rf"CRATE_VERSION={re.escape(RELEASE)}-dev\.\d+"
    assert re.search(rf"^{version}$", run.of("number"), re.MULTILINE)


def test_the_tag_publishes_the_release_and_people_are_told(checkout, reader, chat):
    """One of the two services of the setting is dead: seen, and no failure of the release."""
    urls = f"json://127.0.0.1:9/hunter2 json://127.0.0.1:{chat.server_port}/hunter2"

    jobs = ["test", *ROAD, "smoke", "release"]  # `check` is tried in the other repository
    run = checkout.run(*jobs, "notify", **TAG, TORCHCRATE_NOTIFY_URLS=urls)

    print(run.output)
    assert run.passed
    assert set(jobs_of(run)) == {("WARN", "notify"), *(("PASS", job) for job in jobs)}
    assert reader.versions() == [f"mnist-net {RELEASE}"]
    assert_whole(reader, RELEASE)
    assert_smoked(run)
    told, linked = reader.release(f"v{RELEASE}")
    assert f"torchcrate pull mnist-net@{RELEASE}" in told
    assert {"model.pth", "model.pt", "model.onnx", "manifest.json", "SHA256SUMS"} <= linked
    (message,) = chat.got
    assert message["title"] == f"mnist-net {RELEASE}"
    assert "JSON (1 of 2) did not take the notification" in run.of("notify")
    assert "hunter2" not in run.output
    assert "glcbt-job" not in run.output


def test_the_branch_publishes_nothing_once_its_release_is_out(checkout, reader):
    before = reader.versions()

    run = checkout.run(*ROAD)

    assert jobs_of(run) == [("FAIL", "number")]
    lines = [line for line in run.of("number").splitlines() if "Error" in line]
    assert lines == [f"Error: {RELEASE} is already out: put the next release into VERSION"]
    assert reader.versions() == before


def assert_whole(reader, version):
    """Hold every file that the registry serves against the sums that were published with it."""
    files = reader.files(version)
    sums = dict(reversed(line.split()) for line in reader.read(version, "SHA256SUMS").splitlines())
    served = {name: hashlib.sha256(reader.read(version, name)).hexdigest() for name in files}
    assert served == files
    assert {name.decode(): sha256.decode() for name, sha256 in sums.items()} == {
        name: sha256 for name, sha256 in files.items() if name != "SHA256SUMS"
    }
    assert {"model.pth", "model.pt", "model.onnx", "manifest.json", "parity.json"} <= files.keys()
    assert {"bench.json", "bench.txt", "bench-gate.svg"} <= files.keys()
    assert json.loads(reader.read(version, "manifest.json"))["metrics"]["latency onnx"] > 0


def assert_smoked(run):
    """Hold the last job to what a consumer without torch needs."""
    said = run.of("smoke")
    drawings = list((ROOT / "tests/drawings").glob("*.png"))
    assert "ModuleNotFoundError: No module named 'torch'" in said
    assert re.search(r"^selftest passed: \d+ vectors", said, re.MULTILINE)
    assert len(re.findall(r"^Image is a \d \(", said, re.MULTILINE)) == len(drawings)
