"""GitLab as it really is: faults, leftovers, redirects, old servers, pages, tokens of each kind."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest

from torchcrate.errors import RegistryError
from torchcrate.release.evidence import enclose
from torchcrate.release.gitlab import GitLabRegistry
from torchcrate.release.manifest import MANIFEST, SUMS
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull
from torchcrate.release.registry import open_registry
from torchcrate.release.settings import Settings

PASSING = ["409", "429", "429-date", "500", "502", "503", "504", "reset", "lost", "403", "damage"]
FINAL = ["401", "404", "413"]
WRITE = {"PRIVATE-TOKEN": "glpat-developer", "JOB-TOKEN": "glcbt-job", "DEPLOY-TOKEN": "gldt-write"}


def copies(gitlab):
    """Return how many copies of each file stand, by name."""
    names = [file["file_name"] for package in gitlab.packages() for file in package["files"]]
    return {name: names.count(name) for name in names}


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("file", ["CMakeLists.txt", SUMS, MANIFEST])
def test_an_upload_that_fails_once_is_sent_again(crate, gitlab, tmp_path, contents, kind, file):
    gitlab.fault(kind, method="PUT", file=f"/{file}")
    lines = []

    publish(crate, gitlab.registry(on_notice=lines.append))

    assert len(lines) == 1
    assert "try 2 of 4" in lines[0]
    pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(crate)
    assert copies(gitlab).pop(file) == (2 if kind == "damage" else 1)


@pytest.mark.parametrize("kind", [*PASSING, *FINAL, "hang"])
@pytest.mark.parametrize("file", ["CMakeLists.txt", SUMS, MANIFEST])
def test_an_upload_that_keeps_failing_shows_readers_nothing_and_is_finished_by_the_next_run(
    crate, gitlab, tmp_path, contents, hasty, kind, file
):
    gitlab.fault(kind, times=3, method="PUT", file=f"/{file}", seconds=1)

    if kind != "lost":  # what was carried out is found by looking
        with pytest.raises(RegistryError) as caught:
            publish(crate, gitlab.registry(patience=hasty))
        assert "\n" not in str(caught.value)
        # A damaged manifest lists the version, but pulling it is refused.
        assert bool(gitlab.visible()) == ((file, kind) == (MANIFEST, "damage"))
        with pytest.raises(RegistryError):
            pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    gitlab.heal()
    publish(crate, gitlab.registry())

    pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(crate)


@pytest.mark.parametrize("kind", ["kill-before", "kill-after"])
@pytest.mark.parametrize("file", ["CMakeLists.txt", "golden.safetensors", MANIFEST])
def test_a_killed_publisher_leaves_nothing_half_and_the_next_run_sends_only_the_rest(
    crate, gitlab, tmp_path, contents, kind, file
):
    program = (
        "import sys; from pathlib import Path\n"
        "from torchcrate.release.publish import publish\n"
        "from torchcrate.release.registry import open_registry\n"
        "sys.stdin.readline()\n"
        "with open_registry(sys.argv[1], {'GITLAB_TOKEN': 'glpat-developer'}) as registry:\n"
        "    publish(Path(sys.argv[2]), registry)\n"
    )
    command = [sys.executable, "-c", program, gitlab.project, str(crate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as client:
        gitlab.fault(kind, method="PUT", file=f"/{file}", pid=client.pid)

        client.communicate(b"go\n", timeout=60)

    assert client.returncode == -9
    whole = (kind, file) == ("kill-after", MANIFEST)
    assert bool(gitlab.visible()) == whole
    again = publish(crate, gitlab.registry())
    assert again.already_there == whole
    assert set(copies(gitlab).values()) <= ({1, 2} if kind == "kill-before" else {1})
    pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(crate)


def test_what_an_earlier_run_left_is_not_sent_again(crate, gitlab):
    gitlab.fault("401", method="PUT", file=f"/{SUMS}")
    with pytest.raises(RegistryError, match="401"):
        publish(crate, gitlab.registry())
    sent = gitlab.sent()

    published = publish(crate, gitlab.registry())

    assert published.uploaded == (SUMS, MANIFEST)
    assert list(published.kept) == sent


def test_a_damaged_leftover_is_covered_by_a_good_copy(crate, gitlab, tmp_path, contents):
    url = gitlab.url("mnist-net", "1.0.0", "model.pt")
    headers = {"PRIVATE-TOKEN": "glpat-developer"}
    httpx.put(url, content=b"damaged", params={"status": "hidden"}, headers=headers)

    publish(crate, gitlab.registry())

    assert copies(gitlab)["model.pt"] == 2
    pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(crate)


def test_a_damaged_leftover_that_cannot_be_covered_names_the_file_and_the_remedies(crate, gitlab):
    gitlab.reset(duplicates=False)
    url = gitlab.url("mnist-net", "1.0.0", "model.pt")
    headers = {"PRIVATE-TOKEN": "glpat-developer"}
    httpx.put(url, content=b"damaged", params={"status": "hidden"}, headers=headers)

    with pytest.raises(RegistryError, match=r"model\.pt.*began with.*next version") as caught:
        publish(crate, gitlab.registry())

    assert "Maintainer" not in str(caught.value)  # who finds it in no list
    assert gitlab.visible() == {}


@pytest.mark.parametrize(
    "options",
    [
        {"duplicates": False},
        {"redirect": True},
        {"checksum_header": False},
        {"select": False},
        {"select": False, "checksum_header": False, "duplicates": False},
        {"public": True},
    ],
    ids=str,
)
def test_any_set_up_of_gitlab_works(crate, gitlab, tmp_path, contents, options):
    gitlab.reset(**options)
    gitlab.fault("lost", method="PUT", at=2)

    publish(crate, gitlab.registry())

    pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(crate)
    assert set(copies(gitlab).values()) == {1}


@pytest.mark.parametrize("header", WRITE)
def test_every_kind_of_token_publishes_and_pulls(crate, gitlab, tmp_path, contents, header):
    registry = gitlab.registry(WRITE[header], header)

    publish(crate, registry)
    again = publish(crate, registry)

    assert again.already_there
    pull("mnist-net@1.0.0", registry, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(crate)


def test_a_deploy_token_that_cannot_list_says_what_to_do(crate, gitlab):
    publish(crate, gitlab.registry())

    with pytest.raises(RegistryError, match="name the exact version"):
        gitlab.registry("gldt-read", "DEPLOY-TOKEN").versions("mnist-net")


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("glpat-guest", "level 10.*Developer"),
        ("glpat-reader", "read_api.*scope api"),
        ("glpat-stranger", "404.*address"),
        ("glpat-revoked", "401"),
    ],
)
def test_a_token_without_the_right_is_refused_in_one_line(crate, gitlab, token, reason):
    with pytest.raises(RegistryError, match=reason) as caught:
        publish(crate, gitlab.registry(token))

    assert "\n" not in str(caught.value)
    assert gitlab.log("PUT") == []


def test_a_token_of_which_gitlab_gives_no_account_is_refused_by_the_first_upload(crate, gitlab):
    gitlab.reset(job_tokens={"glcbt-job": "guest"})

    with pytest.raises(RegistryError, match=r"403.*Developer"):
        publish(crate, gitlab.registry("glcbt-job", "JOB-TOKEN"))

    assert {entry["path"] for entry in gitlab.log("PUT")} == {
        entry["path"] for entry in gitlab.log("PUT")[:1]
    }
    assert gitlab.packages() == []


def test_who_is_refused_because_a_token_was_kept_back_is_told_what_to_set(crate, gitlab, hasty):
    gitlab.reset(public=True)
    settings = Settings(gitlab.project, None, hasty, withheld="GITLAB_TOKEN")

    with (
        closing(GitLabRegistry(settings)) as registry,
        pytest.raises(
            RegistryError, match=r"401.*GITLAB_TOKEN was not sent there: set GITLAB_HOST="
        ),
    ):
        publish(crate, registry)


def test_the_storage_behind_a_redirect_sees_no_token(crate, gitlab, tmp_path):
    gitlab.reset(redirect=True)
    publish(crate, gitlab.registry())

    pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")

    fetched = [entry for entry in gitlab.log("GET") if entry["path"].startswith("/blob/")]
    assert len(fetched) == len(list(crate.iterdir()))
    assert [entry["credentials"] for entry in fetched] == [[]] * len(fetched)


@pytest.mark.parametrize("header", WRITE)
def test_a_token_is_nowhere_in_what_people_see(crate, gitlab, header):
    lines = []
    registry = gitlab.registry(WRITE[header], header, on_notice=lines.append)
    gitlab.fault("503", method="PUT", at=1)
    gitlab.fault("echo", method="PUT", at=2)

    with pytest.raises(RegistryError, match=r"\[token\]") as caught:
        publish(crate, registry)

    said = [
        str(caught.value),
        repr(caught.value.__cause__),
        *lines,
        repr(registry),
        str(vars(registry)),
    ]
    assert len(lines) == 1
    assert all(WRITE[header] not in text for text in said)


def test_more_versions_than_a_page_holds_are_all_seen(gitlab):
    headers = {"PRIVATE-TOKEN": "glpat-developer"}
    with httpx.Client(headers=headers) as client:
        for minor in range(230):
            client.put(gitlab.url("mnist-net", f"1.{minor}.0", MANIFEST), content=b"{}")

    versions = gitlab.registry().versions("mnist-net")

    assert versions == tuple(f"1.{minor}.0" for minor in range(230))


def test_only_this_very_name_and_versions_of_ours_are_listed(gitlab):
    headers = {"PRIVATE-TOKEN": "glpat-developer"}
    with httpx.Client(headers=headers) as client:
        for name, version, status in (
            ("mnist-net", "1.0.0", "default"),
            ("mnist-net", "2.0.0", "hidden"),
            ("mnist-net", "nightly", "default"),
            ("my-mnist-net", "3.0.0", "default"),
            ("mnist-net2", "4.0.0", "default"),
        ):
            url = gitlab.url(name, version, MANIFEST)
            client.put(url, content=b"{}", params={"status": status})

    versions = gitlab.registry().versions("mnist-net")

    assert versions == ("1.0.0",)


def test_a_server_that_is_not_there_is_one_line_after_bounded_tries(gitlab, hasty):
    registry = GitLabRegistry(Settings("http://127.0.0.1:9/api/v4/projects/42", None, hasty))
    gitlab.open.callback(registry.close)

    with pytest.raises(RegistryError, match="cannot be reached") as caught:
        registry.versions("mnist-net")

    assert "\n" not in str(caught.value)


def test_a_list_that_is_not_json_is_asked_for_again(crate, gitlab):
    gitlab.fault("broken-json", method="GET")

    published = publish(crate, gitlab.registry())

    assert not published.already_there


def test_a_manifest_that_arrived_damaged_is_covered_by_the_next_run(
    crate, gitlab, tmp_path, contents, hasty
):
    gitlab.fault("damage", times=0, method="PUT", file=f"/{MANIFEST}")
    with pytest.raises(RegistryError, match="other bytes than were sent"):
        publish(crate, gitlab.registry(patience=hasty))
    with pytest.raises(RegistryError):
        pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    gitlab.heal()

    published = publish(crate, gitlab.registry())

    assert published.uploaded == (MANIFEST,)
    assert all(entry["visible"] for entry in gitlab.log("PUT")[-1:])
    pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(crate)


def test_a_damaged_manifest_over_other_content_is_not_touched(make_crate, gitlab, hasty):
    gitlab.fault("damage", times=0, method="PUT", file=f"/{MANIFEST}")
    with pytest.raises(RegistryError):
        publish(make_crate(), gitlab.registry(patience=hasty))
    gitlab.heal()
    before = gitlab.packages()

    with pytest.raises(RegistryError, match=r"other content, model\.pt"):
        publish(make_crate(changed=("model.pt",)), gitlab.registry())

    assert gitlab.packages() == before


@pytest.mark.parametrize("last", [SUMS, MANIFEST])
@pytest.mark.parametrize("duplicates", [True, False])
def test_a_leftover_from_another_machine_is_finished_with_its_evidence(
    make_crate, gitlab, tmp_path, contents, last, duplicates
):
    gitlab.reset(duplicates=duplicates)
    theirs, ours = make_crate(evidence=1), make_crate(evidence=2)
    gitlab.fault("401", method="PUT", file=f"/{last}")
    with pytest.raises(RegistryError, match="401"):
        publish(theirs, gitlab.registry())

    published = publish(ours, gitlab.registry())

    assert published.uploaded == ((SUMS, MANIFEST) if last == SUMS else (MANIFEST,))
    pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(theirs)
    assert set(copies(gitlab).values()) == {1}


def test_a_leftover_with_figures_of_another_run_keeps_them_and_no_latency_of_ours(
    make_crate, gitlab, tmp_path, contents
):
    theirs, ours = make_crate(evidence=1), make_crate(evidence=2)
    for crate, latency in ((theirs, 1.0), (ours, 2.0)):
        (tmp_path / "bench.json").write_text(f"{latency}")
        enclose(crate, [tmp_path / "bench.json"], {"latency onnx": latency})
    gitlab.fault("401", method="PUT", file=f"/{SUMS}")
    with pytest.raises(RegistryError, match="401"):
        publish(theirs, gitlab.registry())

    published = publish(ours, gitlab.registry())

    assert published.uploaded == (SUMS, MANIFEST)
    manifest = pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    pulled, left = contents(tmp_path / "out"), contents(theirs)
    assert {name for name in pulled if pulled[name] != left[name]} == {SUMS, MANIFEST}
    assert (tmp_path / "out" / "bench.json").read_text() == "1.0"
    assert "latency onnx" not in manifest.metrics


@pytest.mark.parametrize("duplicates", [True, False])
def test_of_figures_that_are_there_in_part_nothing_is_stated(
    make_crate, gitlab, tmp_path, duplicates
):
    theirs, ours = make_crate(), make_crate()
    for crate, latency in ((theirs, 1.0), (ours, 2.0)):
        for name in ("bench.json", "bench.svg"):
            (tmp_path / name).write_text(f"{latency}")
        enclose(crate, [tmp_path / "bench.json", tmp_path / "bench.svg"], {"latency onnx": latency})
    gitlab.reset(duplicates=duplicates)
    gitlab.fault("401", method="PUT", file="/bench.svg")
    with pytest.raises(RegistryError, match="401"):
        publish(theirs, gitlab.registry())

    publish(ours, gitlab.registry())

    manifest = pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    assert "latency onnx" not in manifest.metrics
    assert not {file.name for file in manifest.files} & {"bench.json", "bench.svg"}


def test_evidence_of_other_bytes_is_not_adopted(make_crate, gitlab, tmp_path, contents):
    theirs, ours = make_crate(evidence=1, changed=("model.pt",)), make_crate(evidence=2)
    gitlab.fault("401", method="PUT", file=f"/{MANIFEST}")
    with pytest.raises(RegistryError, match="401"):
        publish(theirs, gitlab.registry())

    publish(ours, gitlab.registry())

    pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(ours)


@pytest.mark.parametrize("unjudged", [(), ("golden.safetensors",)])
def test_damaged_evidence_is_not_adopted(make_crate, gitlab, tmp_path, contents, unjudged):
    theirs = make_crate(evidence=1, unjudged=unjudged)
    ours = make_crate(evidence=2, unjudged=unjudged)
    gitlab.fault("401", method="PUT", file=f"/{MANIFEST}")
    with pytest.raises(RegistryError, match="401"):
        publish(theirs, gitlab.registry())
    url = gitlab.url("mnist-net", "1.0.0", "golden.safetensors")
    headers = {"PRIVATE-TOKEN": "glpat-developer"}
    httpx.put(url, content=b"damaged", params={"status": "hidden"}, headers=headers)

    publish(ours, gitlab.registry())

    pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(ours)


def test_a_request_carried_out_late_is_not_taken_for_another_file(crate, gitlab):
    gitlab.reset(duplicates=False)
    gitlab.fault("late", method="PUT", file="/model.pt")

    publish(crate, gitlab.registry())

    assert copies(gitlab)["model.pt"] == 1
    assert gitlab.visible()


def test_a_request_that_hangs_is_of_the_test_that_sent_it(gitlab):
    """What the tests stand on: no test finds the requests of an earlier one in its log."""
    url = gitlab.url("mnist-net", "1.0.0", MANIFEST)
    gitlab.fault("hang", seconds=1)
    with ThreadPoolExecutor() as pool:
        hanging = pool.submit(httpx.get, url)
        while not gitlab.asked("GET", MANIFEST):
            time.sleep(0.01)
        gitlab.reset()
        assert isinstance(hanging.exception(), httpx.RemoteProtocolError)

    assert gitlab.log() == []


@pytest.mark.parametrize("header", WRITE)
def test_a_file_shadowed_at_the_last_moment_is_covered(crate, gitlab, tmp_path, contents, header):
    gitlab.fault("shadow", method="PUT", file=f"/{MANIFEST}")

    published = publish(crate, gitlab.registry(WRITE[header], header))

    assert published.uploaded[-2:] == (MANIFEST, "CMakeLists.txt")
    pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "out")
    assert contents(tmp_path / "out") == contents(crate)


def test_a_job_publishes_to_its_own_project_under_a_sub_path(
    crate, gitlab_below, tmp_path, contents
):
    env = {
        "CI_API_V4_URL": f"{gitlab_below.root}/api/v4",
        "CI_PROJECT_ID": "42",
        "CI_JOB_TOKEN": "glcbt-job",
    }
    with open_registry(None, env) as own:
        publish(crate, own)

    with open_registry(f"{gitlab_below.root}/group/crates", env) as by_page:
        pull("mnist-net@latest", by_page, tmp_path / "out")

    assert contents(tmp_path / "out") == contents(crate)
