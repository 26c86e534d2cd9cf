"""`torchcrate pull` as a person and as a CI job type it: where it keeps bytes, what it shows."""

import os
import pty
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from torchcrate.export.artifact import sha256_of
from torchcrate.release.publish import publish

PROGRAM = Path(sys.executable).with_name("torchcrate")
LINE = re.compile(r"\S+ \d+ bytes")


@pytest.fixture
def pull(crate, gitlab, reseal, tmp_path):
    """Pull mnist-net 1.0.0, of 2 MB, with the given options and environment."""
    (crate / "weights.bin").write_bytes(random.Random(0).randbytes(2_000_000))
    reseal(crate, "1.0.0")
    publish(crate, gitlab.registry())

    def run(*options, source=gitlab.project, stderr=subprocess.PIPE, **env):
        command = [PROGRAM, "pull", "mnist-net@1.0.0", "--from", source, *options]
        home = {"HOME": str(tmp_path / "home"), "GITLAB_TOKEN": "glpat-developer"}
        every = {k: v for k, v in os.environ.items() if k != "TORCHCRATE_CACHE"} | home | env
        return subprocess.run(
            [*command, "--out", tmp_path / "out"],
            env=every,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    return run


def kept(folder):
    return sorted(path.name for path in folder.glob("blobs/*"))


@pytest.mark.parametrize("where", ["home", "XDG_CACHE_HOME", "TORCHCRATE_CACHE", "--cache"])
def test_bytes_are_kept_where_it_was_said(pull, crate, tmp_path, where):
    options, env = (), {}
    folder = tmp_path / "home" / ".cache" / "torchcrate"
    if where == "XDG_CACHE_HOME":
        folder = tmp_path / "xdg" / "torchcrate"
        env = {where: str(tmp_path / "xdg")}
    elif where != "home":
        folder = tmp_path / "named"
        options = (where, folder) if where == "--cache" else ()
        env = {} if options else {where: str(folder)}

    done = pull(*options, **env)

    assert done.returncode == 0, done.stderr
    assert sha256_of(crate / "weights.bin") in kept(folder)


@pytest.mark.parametrize("reason", ["--no-cache", "a folder"])
def test_nothing_is_kept_where_nothing_is_to_be(pull, crate, tmp_path, reason):
    shelf = tmp_path / "shelf"
    subprocess.run([PROGRAM, "publish", crate, "--to", shelf], check=True, capture_output=True)

    done = pull("--no-cache") if reason == "--no-cache" else pull(source=shelf)

    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "home").exists()


def test_offline_without_a_cache_is_a_matter_of_usage(pull, tmp_path):
    done = pull("--offline", "--no-cache")

    assert done.returncode == 2
    assert done.stderr == "Error: there is no cache to pull from: pull without --offline\n"


def test_an_unknown_format_is_a_matter_of_usage(pull):
    done = pull("--only", "caffe")

    assert done.returncode == 2
    assert done.stderr.startswith("Error: mnist-net 1.0.0 has no caffe; it states ")


def test_a_job_sees_one_plain_line_a_file(pull, crate):
    done = pull()

    lines = done.stderr.splitlines()
    assert "\r" not in done.stderr
    assert sorted(line.split()[0] for line in lines) == sorted(
        path.name for path in crate.iterdir() if path.name not in ("manifest.json", "SHA256SUMS")
    )
    assert all(LINE.fullmatch(line) for line in lines)


def test_a_person_sees_one_bar_with_all_bytes_and_their_rate(pull):
    ours, theirs = pty.openpty()

    done = pull(stderr=theirs)

    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # Linux says so when the last writer is gone
            break
        shown += piece
    os.close(ours)
    last = shown.decode().replace("\n", "\r").split("\r")
    bars = [line for line in last if "MB/s" in line]
    assert done.returncode == 0
    assert len(bars) > 5
    assert re.search(r"100%  2\.0 of 2\.0 MB  [\d.]+ MB/s", bars[-1])
    assert not any(LINE.fullmatch(line.strip()) for line in last)


def test_a_selftest_that_cannot_run_leaves_the_crate_and_says_why(pull, tmp_path):
    """The small crate's front door is noise, which Python refuses."""
    done = pull("--selftest")

    assert done.returncode == 6
    assert done.stderr.splitlines()[-1].startswith(f"Error: run_mnist.py in {tmp_path / 'out'}: ")
    assert (tmp_path / "out" / "model.onnx").exists()


def test_what_nobody_is_told_of_is_done_all_the_same(crate, tmp_path):
    asked = [
        [PROGRAM, "publish", crate, "--to", tmp_path / "shelf"],
        [
            PROGRAM,
            "pull",
            "mnist-net@1.0.0",
            "--from",
            tmp_path / "shelf",
            "--out",
            tmp_path / "out",
        ],
    ]

    done = [
        subprocess.run(
            ["bash", "-c", '"$@" 2>&-', "-", *command], stdout=subprocess.PIPE, text=True
        )
        for command in asked
    ]

    assert [one.returncode for one in done] == [0, 0]
    assert done[0].stdout == f"mnist-net 1.0.0 published: {tmp_path / 'shelf'}\n"
    assert done[1].stdout.startswith(f"{tmp_path / 'out'}: mnist-net 1.0.0, ")
    assert sha256_of(tmp_path / "out" / "model.onnx") == sha256_of(crate / "model.onnx")
