"""People are told through apprise; who could not be told is seen, and no secret is."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from torchcrate.errors import NotifyError, UsageError
from torchcrate.release.announce.notes import notes
from torchcrate.release.announce.notify import notify
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.publish import publish

# apprise looks for it on behalf of a library that needs it on older Pythons.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
SECRET = "hunter2"


class Receiver(BaseHTTPRequestHandler):
    """A service that people watch: it keeps what it gets."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(json.loads(body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.got, server.status = [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def url(receiver):
    return f"json://user:{SECRET}@127.0.0.1:{receiver.server_port}"


@pytest.fixture
def told(golden_crate, tmp_path):
    registry = FolderRegistry(tmp_path / "registry")
    publish(golden_crate("1.0.0"), registry)
    return notes("mnist-net@1.0.0", registry, "")


DEAD = f"json://user:{SECRET}@127.0.0.1:9"


def test_every_service_gets_title_and_notes(told, url, receiver):
    done = notify(told, f"{url}/one {url}/two")

    assert done.told == ("JSON (1 of 2)", "JSON (2 of 2)")
    assert len(receiver.got) == 2
    for message in receiver.got:
        assert message["title"] == "mnist-net 1.0.0"
        assert "accuracy: 99.30 %" in message["message"]
        assert "torchcrate pull mnist-net@1.0.0" in message["message"]


def test_one_that_cannot_be_told_is_named_by_its_place_and_the_others_are_told(
    told, url, receiver, capfd
):
    with pytest.raises(NotifyError) as caught:
        notify(told, f"{DEAD} {url}")

    assert "is published, but JSON (1 of 2) did not take the notification" in str(caught.value)
    assert len(receiver.got) == 1
    said = capfd.readouterr()
    assert said.out + said.err == ""
    assert SECRET not in str(caught.value)


def test_a_service_that_refuses_is_seen(told, url, receiver):
    receiver.status = 500

    with pytest.raises(NotifyError, match=r"JSON \(1 of 1\)"):
        notify(told, url)


@pytest.mark.parametrize("urls", ["", "  ", "nonsense", f"nosuch://{SECRET}"])
def test_a_setting_that_names_no_service_is_refused_without_showing_it(told, urls, capfd):
    with pytest.raises(UsageError) as caught:
        notify(told, urls)

    assert SECRET not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_where_one_of_the_urls_is_wrong_nobody_is_told(told, url, receiver):
    with pytest.raises(UsageError, match="it knows 1 of"):
        notify(told, f"{url} nosuch://{SECRET}")

    assert receiver.got == []


def test_the_command_reads_one_setting(told, url, receiver, tmp_path, torchcrate):
    asked = ("notify", "mnist-net@1.0.0", "--from", tmp_path / "registry")

    done = torchcrate(*asked, cwd=tmp_path, TORCHCRATE_NOTIFY_URLS=url)
    failed = torchcrate(*asked, cwd=tmp_path, TORCHCRATE_NOTIFY_URLS=f"{url},{DEAD}")
    unset = torchcrate(*asked, cwd=tmp_path, TORCHCRATE_NOTIFY_URLS="")

    assert (done.returncode, done.stdout) == (0, "told of mnist-net 1.0.0: JSON (1 of 1)\n")
    assert failed.returncode == 10
    assert failed.stderr.startswith(
        "Error: mnist-net 1.0.0 is published, but JSON (2 of 2) did not"
    )
    assert unset.returncode == 2
    assert len(receiver.got) == 2
    assert SECRET not in "".join(run.stdout + run.stderr for run in (done, failed, unset))


def test_without_apprise_one_line_says_what_to_install(told, tmp_path):
    program = (
        "import sys\nsys.modules['apprise'] = None\n"
        "sys.argv = ['torchcrate', 'notify', 'mnist-net@1.0.0', '--to-urls', 'json://localhost',"
        "'--from', sys.argv[1]]\n"
        "from torchcrate.cli import main\nmain()\n"
    )

    command = [sys.executable, "-c", program, str(tmp_path / "registry")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "pip install 'torchcrate[notify]'" in done.stderr
    assert "Traceback" not in done.stderr
