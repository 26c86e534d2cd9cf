"""A path that the system refuses is one line with its reason, whatever command it is given to.

Names that are too long and links in a circle: these stop the administrator as well.
"""

import os

import pytest
from click.testing import CliRunner

from torchcrate.cli import main
from torchcrate.files import write_whole
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.history import history
from torchcrate.release.manifest import MANIFEST, YANKED
from torchcrate.release.publish import publish
from torchcrate.release.yank import UNREADABLE, mark_of

REASONS = {"long": "file name too long", "loop": "too many levels of symbolic links"}
ONE = "mnist-net@1.0.0"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in a folder with a link to itself, `loop`; PATH stands for what is refused."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    write_whole(tmp_path / "key.pem", b"none")

    def ran(*arguments, refused=""):
        words = [str(word).replace("PATH", refused) for word in arguments]
        done = CliRunner().invoke(main, words, env={"GITLAB_TOKEN": "glpat-developer"})
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    return ran


@pytest.mark.parametrize("kind", ["long", "loop"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("versions", "mnist-net", "--from", "PATH/registry"),
        ("yank", ONE, "--why", "slow", "--from", "PATH/registry"),
        ("pull", ONE, "--from", "PATH/registry"),
        ("pull", "mnist-net@latest", "--from", "PATH/registry"),
        ("pull", ONE, "--from", "registry", "--out", "PATH"),
        ("pull", ONE, "--from", "registry", "--out", "PATH/x"),
        ("pull", ONE, "--offline", "--cache", "PATH", "--from", "https://gitlab.example/g/p"),
        ("publish", "PATH/crate", "--to", "registry"),
        ("publish", "crate-1", "--to", "PATH/registry"),
        ("doctor", "PATH/crate"),
        ("diff", "PATH", "crate-1"),
        ("diff", "crate-1", "PATH/crate"),
        ("check", "PATH/crate", "--verify-key", "key.pem"),
        ("release", ONE, "--from", "registry", "--changelog", "PATH"),
    ],
    ids=" ".join,
)
def test_a_path_that_is_refused_is_one_line(run, crate, kind, arguments):
    publish(crate, FolderRegistry(crate.parent / "registry"))

    done = run(*arguments, refused={"long": "x" * 300, "loop": "loop"}[kind])

    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    # Where nothing can be found, a circle may also be said to hold nothing.
    nothing = ("is no registry", "is no crate", "has no published", "is not sealed")
    assert REASONS[kind] in last or (kind == "loop" and any(word in last for word in nothing))


def test_a_file_that_breaks_off_is_named(run, crate):
    """The kernel lets nobody read the beginning of a process's memory."""
    (crate / "model.onnx").unlink()
    (crate / "model.onnx").symlink_to("/proc/self/mem")

    done = run("doctor", "crate-1")

    assert done.exit_code == 8
    assert done.stderr == "Error: cannot read crate-1/model.onnx: input/output error\n"


def fifo(path):
    os.mkfifo(path)


def folder(path):
    path.mkdir()


def device(path):
    path.symlink_to("/dev/zero")


def nowhere(path):
    path.symlink_to("nowhere")


def loop(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize("kind", [fifo, folder, device, nowhere, loop])
def test_a_mark_that_is_no_file_counts_as_a_mark(run, crate, kind):
    registry = FolderRegistry(crate.parent / "registry")
    publish(crate, registry)
    kind(crate.parent / "registry/mnist-net/1.0.0" / YANKED)

    (release,) = history(registry, "mnist-net")

    assert release.state == "yanked"
    assert mark_of(registry, "mnist-net", "1.0.0") == UNREADABLE
    assert "yanked" in run("publish", "crate-1", "--to", "registry").stderr


@pytest.mark.parametrize("kind", [fifo, folder, device])
def test_a_manifest_that_is_no_file_is_refused_unread(run, crate, kind):
    publish(crate, FolderRegistry(crate.parent / "registry"))
    manifest = crate.parent / "registry/mnist-net/1.0.0" / MANIFEST
    manifest.unlink()
    kind(manifest)

    done = run("pull", ONE, "--from", "registry")

    assert done.exit_code == 8
    assert done.stderr.endswith(f"registry/mnist-net/1.0.0/{MANIFEST}: it is not a regular file\n")


@pytest.mark.parametrize("command", ["diff", "doctor"])
def test_a_folder_whose_manifest_is_none_is_named(run, crate, command):
    write_whole(crate / MANIFEST, b"{}")

    done = run(command, *(["crate-1"] * (2 if command == "diff" else 1)))

    assert done.exit_code == 3
    assert done.stderr.startswith(f"Error: crate-1/{MANIFEST}: ")


def test_check_names_the_path_that_is_not_there(run):
    done = run("check", "nothing", "--verify-key", "key.pem")

    assert done.exit_code == 8
    assert done.stderr == "Error: cannot read nothing: no such file or directory\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("pull", ONE, "--from", "registry", "--out", ""),
        ("publish", "", "--to", "registry"),
        ("doctor", ""),
        ("check", "", "--verify-key", "key.pem"),
        ("check", "crate-1", "--verify-key", ""),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_an_empty_path_is_not_the_current_folder(run, crate, arguments):
    publish(crate, FolderRegistry(crate.parent / "registry"))
    before = sorted(crate.parent.iterdir())

    done = run(*arguments)

    assert done.exit_code == 2
    assert "it is empty" in done.stderr
    assert sorted(crate.parent.iterdir()) == before
