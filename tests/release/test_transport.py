"""Waiting is bounded, redirects keep secrets, and an answer that lies is refused."""

import email.utils
import os
import ssl
import subprocess
import threading
import time
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from torchcrate.errors import RegistryError, UsageError
from torchcrate.release.gitlab import GitLabRegistry
from torchcrate.release.receive import receive_manifest
from torchcrate.release.retry import PassingError, Patience, persist, seconds_after
from torchcrate.release.settings import Authorities, Credential, Settings
from torchcrate.release.transport import Transport
from torchcrate.release.yank import mark_of

SECRET = "glpat-very-secret"


@pytest.fixture
def serve():
    """Start servers that always give one answer; each keeps the headers that it was sent."""
    servers = []

    def start(status, headers=(), body=b"", certified=None):
        class Handler(BaseHTTPRequestHandler):
            seen: list[dict[str, str]] = []  # noqa: RUF012 - one class a server

            def log_message(self, *_):
                pass

            def do_GET(self):
                self.seen.append({key.lower(): value for key, value in self.headers.items()})
                self.send_response(status)
                for key, value in headers:
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_PUT = do_GET  # noqa: N815

        server = HTTPServer(("127.0.0.1", 0), Handler)
        if certified:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certified / "ca.pem", certified / "key.pem")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        scheme = "https" if certified else "http"
        return f"{scheme}://127.0.0.1:{server.server_port}", Handler.seen

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def transport(request):
    """Make transports to a base URL with one secret."""

    def make(base, patience=None, env=None):
        credential, trusted = Credential("PRIVATE-TOKEN", SECRET), Authorities.from_env(env or {})
        made = Transport(Settings(base, credential, patience or Patience(), trusted), print)
        request.addfinalizer(made.close)
        return made

    return make


def failing(times, error):
    """Return an attempt that fails so often and then answers how often it was called."""
    calls = []

    def attempt(again):
        calls.append(again)
        if len(calls) <= times:
            raise error
        return calls

    return attempt


def test_a_later_try_knows_that_it_is_one():
    patience = Patience(tries=3, first=0.001, longest=0.002)

    calls = persist(failing(2, PassingError("down")), patience, print)

    assert calls == [False, True, True]


def test_tries_are_bounded_in_number_and_each_pause_is_told():
    lines = []

    with pytest.raises(PassingError, match="down"):
        persist(failing(9, PassingError("down")), Patience(tries=3, first=0.001), lines.append)

    assert [line.split(" in ")[0] for line in lines] == [
        "down; try 2 of 3",
        "down; try 3 of 3",
    ]


def test_tries_are_bounded_in_time():
    lines = []
    patience = Patience(tries=1000, total=0.2, first=0.01, longest=0.05)

    with pytest.raises(PassingError):
        persist(failing(1000, PassingError("down")), patience, lines.append)

    assert 0 < len(lines) < 100


def test_a_refusal_is_not_tried_again():
    lines = []

    with pytest.raises(RegistryError, match="no"):
        persist(failing(1, RegistryError("no")), Patience(), lines.append)

    assert lines == []


def test_what_the_server_asks_for_is_kept_within_bounds():
    lines = []
    patience = Patience(tries=2, first=0.001, longest=0.01)

    persist(failing(1, PassingError("busy", after=3600)), patience, lines.append)

    assert lines == ["busy; try 2 of 2 in 0.0 s"]


def test_retry_after_is_read_as_seconds():
    assert seconds_after("7") == 7


def test_retry_after_is_read_as_a_date():
    seconds = seconds_after(email.utils.formatdate(time.time() + 3600, usegmt=True))

    assert seconds is not None
    assert 3000 <= seconds <= 3600


@pytest.mark.parametrize("value", [None, "", "soon", "-1", "Tue, 99 Foo 2026"])
def test_a_retry_after_that_says_nothing_is_ignored(value):
    assert seconds_after(value) is None


def test_a_secret_stays_at_its_origin(serve, transport):
    there, seen_there = serve(200, body=b"file")
    here, seen_here = serve(302, [("Location", f"{there}/blob")])

    answer = transport(here).ask("GET", f"{here}/file")

    assert answer.body == b"file"
    assert seen_here[0]["private-token"] == SECRET
    assert SECRET not in str(seen_there)


def test_an_upload_does_not_follow_a_redirect(serve, transport):
    there, seen_there = serve(201)
    here, _ = serve(307, [("Location", f"{there}/file")])

    with pytest.raises(RegistryError, match=f"has moved to {there}/file"):
        transport(here).ask("PUT", f"{here}/file", body=iter([b""]), size=0)

    assert seen_there == []


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/file"])
def test_a_redirect_to_another_scheme_is_not_followed(serve, transport, to):
    here, _ = serve(302, [("Location", to)])

    with pytest.raises(RegistryError, match="not to https"):
        transport(here).ask("GET", f"{here}/file")


def test_redirects_without_end_are_refused(serve, transport):
    here, seen = serve(302, [("Location", "/again")])

    with pytest.raises(RegistryError, match="redirects more than"):
        transport(here).ask("GET", f"{here}/file")

    assert len(seen) < 10


def test_the_signature_in_a_redirect_is_in_no_message(serve, transport):
    there, _ = serve(404)
    here, _ = serve(302, [("Location", f"{there}/blob?signature={SECRET}")])

    with pytest.raises(RegistryError) as caught:
        transport(here).ask("GET", f"{here}/file")

    assert "/blob answered 404" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        (
            [("Content-Type", "application/json")],
            b'{"message": "400 Bad request"}',
            "400 Bad request",
        ),
        ([("Content-Type", "application/json")], b'{"error": "is invalid"}', "is invalid"),
        ([("Content-Type", "application/json")], b'{"message": ["one", "two"]}', "one; two"),
        ([("Content-Type", "text/html")], b"<html>nginx</html>", "a web page"),
        ([("Content-Type", "text/plain")], b"two\nlines", "two lines"),
        ([], b"", "answered 400$"),
    ],
)
def test_the_reason_of_a_refusal_is_one_short_line(serve, transport, headers, body, reason):
    here, _ = serve(400, headers, body)

    with pytest.raises(RegistryError, match=reason) as caught:
        transport(here).ask("GET", f"{here}/file")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("https_proxy", "socks5://proxy.example:1"),
        ("https_proxy", "foo://proxy.example"),
        ("https_proxy", "http://[::1"),
        ("SSL_CERT_FILE", "/nonexistent"),
    ],
)
def test_an_environment_that_cannot_be_used_is_one_line(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    settings = Settings.from_env("https://git.example/api/v4/projects/1", os.environ)

    with pytest.raises(UsageError, match="proxy or certificates") as caught:
        Transport(settings, print)

    assert "\n" not in str(caught.value)


@pytest.fixture
def guarded(serve, tmp_path):
    """Return the address of a TLS server, and the certificate that vouches for it."""
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    make += " -subj /CN=here -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out ca.pem"
    subprocess.run(make.split(), cwd=tmp_path, check=True, capture_output=True)
    return serve(200, certified=tmp_path)[0], tmp_path / "ca.pem"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "CI_SERVER_TLS_CA_FILE"])
def test_a_company_vouches_for_its_own_server(guarded, transport, variable):
    address, certificate = guarded
    named = certificate
    if variable == "SSL_CERT_DIR":  # in which a certificate goes by the hash of its name
        named = certificate.parent / "certificates"
        named.mkdir()
        certificate.rename(named / certificate.name)
        subprocess.run(["openssl", "rehash", named], check=True, capture_output=True)

    answer = transport(address, env={variable: str(named)}).ask("GET", address)

    assert answer.status == 200


def test_a_server_for_which_nobody_vouches_is_asked_once(guarded, transport):
    asking, asked = transport(guarded[0]), []

    def attempt(again):
        asked.append(again)
        return asking.ask("GET", guarded[0])

    with pytest.raises(RegistryError, match="set SSL_CERT_FILE") as caught:
        asking.persist(attempt)

    assert asked == [False]
    assert "\n" not in str(caught.value)


DEEP = b"[" * 60_000
ANSWERS = {
    "nested without end": (200, (), DEEP),
    "a refusal nested without end": (400, (), DEEP),
    "not modified": (304, (), b""),
    "moved nowhere": (302, (), b""),
    "a status that is a list": (200, (), b'[{"name": "x", "version": "1.0.0", "status": []}]'),
    "rows that are none": (200, (), b"[1, null]"),
    "a name that is a number": (200, (), b'[{"name": 1, "version": 2, "status": "default"}]'),
    "an odd Retry-After": (429, (("Retry-After", "²".encode().decode("latin-1")),), b""),
    "a page that is none": (200, (("X-Next-Page", "x" * 99),), b"[]"),
    "text that is no text": (200, (), b"\xff\xfe"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_hostile_answer_is_refused_or_is_nothing(serve, answer):
    base, _ = serve(*ANSWERS[answer])
    hasty = Patience(tries=2, total=5, first=0.01, longest=0.02)

    with closing(GitLabRegistry(Settings(f"{base}/api/v4/projects/1", None, hasty))) as registry:
        for ask in (
            lambda: registry.versions("x"),
            lambda: registry.copies("x", "1.0.0", ("a",)),
            lambda: receive_manifest(registry, "x", "1.0.0"),
            lambda: mark_of(registry, "x", "1.0.0"),
        ):
            with suppress(RegistryError):
                ask()
