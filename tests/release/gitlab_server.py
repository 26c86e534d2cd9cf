"""A GitLab with one project on the loopback address: a real HTTP server for tests.

    python tests/release/gitlab_server.py --port 0 [--prefix /gitlab] [--options JSON]

prints its port as one line. The project is 42 (group/crates), the tokens are those of
`gitlab_rules.Options`. Tests steer it through /_control: POST reset {options}, POST
fault {fault}, POST heal; GET log (one entry a request), GET state (what stands, what readers see).
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from gitlab_faults import REFUSALS, Fault, refusal
from gitlab_releases import Releases
from gitlab_rules import Answer, Options, Project, StoredFile

_PIECE = 1 << 20
_SECRETS = ("private-token", "job-token", "deploy-token", "authorization")


class Handled(Exception):  # noqa: N818 - the request is answered, nothing failed
    """Nothing is left to do for this request."""


class Gitlab:
    """Everything that lives as long as the process: project, faults, log."""

    def __init__(self, prefix: str, options: Options) -> None:
        self.prefix = prefix
        self.lock = threading.RLock()
        self.storage = 0
        self.reset(options)

    def reset(self, options: Options) -> None:
        """Begin anew; what was stored is removed."""
        if hasattr(self, "project"):
            shutil.rmtree(self.project.folder)
        self.project = Project(options)
        self.releases = Releases(self.project, f"http://gitlab.example{self.prefix}")
        self.faults: list[Fault] = []
        self.log: list[dict[str, Any]] = []
        self.late: list[Any] = []
        self.arrived: list[tuple[str, str]] = []

    def struck(self, method: str, path: str) -> Fault | None:
        """Return the fault that hits this request, if one does."""
        with self.lock:
            self.arrived.append((method, path))
            hits = [fault for fault in self.faults if fault.strikes(method, path)]
        return hits[0] if hits else None


class Handler(BaseHTTPRequestHandler):
    """One connection; HTTP/1.1 with keep-alive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement
    gitlab: Gitlab

    def log_message(self, *_: object) -> None:
        """Keep quiet; the log is a list."""

    def do_GET(self) -> None:
        """Answer GET."""
        self.serve()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def serve(self) -> None:
        """Answer one request, whatever it is, and log it."""
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query))
        self.headers_lower = {key.lower(): value for key, value in self.headers.items()}
        self.left = int(self.headers_lower.get("content-length", 0))
        self.entry = None
        self.log = self.gitlab.log  # of the test that asks: an answer that hangs may outlive it
        self.fault: Fault | None = None
        if parts.path.startswith("/_control/"):
            self.control(parts.path.removeprefix("/_control/"))
            return
        self.fault = self.gitlab.struck(self.command, unquote(parts.path))
        self.entry: dict[str, Any] | None = {
            "method": self.command,
            "path": unquote(parts.path),
            "query": self.query,
            "credentials": [name for name in _SECRETS if name in self.headers_lower],
            "range": self.headers_lower.get("range", ""),
            "fault": self.fault.kind if self.fault else "",
        }
        try:
            self.before()
            self.route(parts.path)
        except Answer as answer:
            self.refuse(answer)
        except Handled:
            pass
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        finally:
            self.note(0)

    def note(self, status: int) -> None:
        """Log the request and what readers see now: once, and before the client can look."""
        with self.gitlab.lock:
            if self.entry is not None:
                visible = self.gitlab.project.view()
                self.log.append({**self.entry, "status": status, "visible": visible})
                self.entry = None

    def send_response(self, code: int, message: str | None = None) -> None:
        """Log, then begin the answer."""
        self.note(code)
        super().send_response(code, message)

    def before(self) -> None:
        """Do what a fault does before the request is carried out."""
        kind = self.fault.kind if self.fault else ""
        if kind in REFUSALS:
            self.drain()
            status, headers, body = refusal(kind)
            self.send(status, body, headers)
            raise Handled
        if kind == "echo":
            self.drain()
            self.send_json(400, {"message": f"400 Bad request {dict(self.headers_lower)}"})
            raise Handled
        if kind == "reset":
            self.rfile.read(min(self.left, 10))
            self.cut()
        if self.fault and kind == "refuse":
            self.server.socket.shutdown(socket.SHUT_RDWR)
            threading.Timer(self.fault.seconds, self.server.socket.listen, (5,)).start()
            self.cut()
        if kind == "kill-before":
            self.kill()
            raise ConnectionError
        if self.fault and kind == "hang":
            time.sleep(self.fault.seconds)
            raise ConnectionError

    def route(self, path: str) -> None:
        """Find who answers."""
        base = f"{self.gitlab.prefix}/api/v4/projects/"
        project = self.gitlab.project
        if (self.command, path) == (
            "GET",
            f"{self.gitlab.prefix}/api/v4/personal_access_tokens/self",
        ):
            actor = project.actor(self.headers_lower, self.query)
            self.send_json(200, {"scopes": project.account(actor, self.headers_lower)})
            return
        if not path.startswith(base):
            raise Answer(404, {"error": "404 Not Found"})
        words = [unquote(word) for word in path.removeprefix(base).split("/")]
        if words[0] not in (project.options.project, project.options.path):
            raise Answer(404, {"message": "404 Project Not Found"})
        actor = project.actor(self.headers_lower, self.query)
        match self.command, words[1:]:
            case "PUT", ["packages", "generic", name, version, file]:
                project.may_write(actor)
                project.check_upload(name, version, file, self.query)
                self.upload(name, version, file)
            case (("GET" | "HEAD"), ["packages", "generic", name, version, file]):
                project.may_read_file(actor)
                self.download(project.file(name, version, file))
            case "GET", []:
                self.send_json(200, project.permissions(actor))
            case "GET", ["packages"]:
                project.may_list(actor)
                self.page([package.row() for package in project.listed(self.query)])
            case "GET", ["packages", id] if id.isdigit():
                project.may_list(actor)
                self.send_json(200, project.by_id(int(id)).row())
            case "GET", ["packages", id, "package_files"] if id.isdigit():
                project.may_list(actor)
                self.page([file.row() for file in project.by_id(int(id)).files])
            case "GET", ["packages", id, "package_files", file, "download"] if file.isdigit():
                project.may_read_file(actor)
                copies = [copy for copy in project.by_id(int(id)).files if copy.id == int(file)]
                if not copies or not project.options.by_id:
                    raise Answer(404, {"error": "404 Not Found"})
                self.send_file(copies[0], {})
            case "DELETE", ["packages", id] if id.isdigit():
                project.may_delete(actor)
                project.packages.remove(project.by_id(int(id)))
                self.send(204, b"", {})
            case _, ["releases", *rest]:
                self.release(actor, rest)
            case _:
                raise Answer(404, {"error": "404 Not Found"})

    def release(self, actor: Any, words: list[str]) -> None:
        """Answer a request about releases and their links."""
        releases = self.gitlab.releases
        releases.may_read(actor)
        body: dict[str, Any] = {}
        if self.command in ("POST", "PUT"):
            body = json.loads(self.rfile.read(self.left) or b"{}")
            self.left = 0
            releases.may_write(actor, words[0] if words else body["tag_name"])
        with self.gitlab.lock:
            match self.command, words:
                case "POST", []:
                    status, row = 201, releases.create(body)
                case "PUT", [tag]:
                    status, row = 200, releases.update(tag, body)
                case "GET", [tag]:
                    status, row = 200, releases.row(releases.page(tag))
                case "POST", [tag, "assets", "links"]:
                    status, row = 201, releases.add_link(tag, body)
                case "PUT", [tag, "assets", "links", id] if id.isdigit():
                    status, row = 200, releases.change_link(tag, int(id), body)
                case "GET", [tag, "assets", "links"]:
                    self.page(releases.links(tag))
                    return
                case "GET", [tag, "downloads", *path]:
                    there = releases.downloaded(tag, "/".join(path))
                    self.send(302, b"", {"Location": there})
                    return
                case _:
                    raise Answer(404, {"error": "404 Not Found"})
        if self.fault and self.fault.kind == "lost":
            self.cut()
        self.send_json(status, row)

    def upload(self, name: str, version: str, file: str) -> None:
        """Read the body to disk, then keep it in one step."""
        project = self.gitlab.project
        handle, place = tempfile.mkstemp(dir=project.folder)
        damage = self.fault is not None and self.fault.kind == "damage"
        digest, size = hashlib.sha256(), 0
        with os.fdopen(handle, "wb") as blob:
            while self.left:
                piece = self.rfile.read(min(self.left, _PIECE))
                if not piece:
                    raise ConnectionError  # a cut upload creates nothing
                self.left -= len(piece)
                if damage and not size:
                    piece = bytes([piece[0] ^ 1]) + piece[1:]
                blob.write(piece)
                digest.update(piece)
                size += len(piece)
        status = self.query.get("status")
        blob_of = (Path(place), size, digest.hexdigest())
        with self.gitlab.lock:
            for earlier in self.gitlab.late:
                project.store(*earlier)
            self.gitlab.late.clear()
            if self.fault and self.fault.kind == "late":
                self.gitlab.late.append((name, version, file, status, blob_of))
                self.cut()
            if self.fault and self.fault.kind == "shadow":
                first = project.find(name, version).files[0].file_name
                project.store(name, version, first, None, blob_of)
            if self.fault and self.fault.kind == "overtake":
                self.overtake(name, version, Path(self.fault.folder))
            stored = project.store(name, version, file, status, blob_of)
        if self.fault and self.fault.kind == "lost":
            self.cut()
        if self.fault and self.fault.kind == "kill-after":
            self.kill()
        if "select" in self.query and project.options.select:
            self.send_json(200, stored.row())
        else:
            self.send_json(201, {"message": "201 Created"})

    def overtake(self, name: str, version: str, crate: Path) -> None:
        """Publish a crate as another publisher would that was a moment faster."""
        project = self.gitlab.project
        paths = sorted(crate.iterdir(), key=lambda path: path.name == "manifest.json")
        for path in paths:
            copy = project.folder / f"{project.next_id()}"
            shutil.copyfile(path, copy)
            digest = hashlib.sha256(copy.read_bytes()).hexdigest()
            blob = (copy, copy.stat().st_size, digest)
            package = project.find(name, version)
            there = package.newest(path.name) if package else None
            if there is None or there.file_sha256 != digest:
                status = "default" if path is paths[-1] else "hidden"
                project.store(name, version, path.name, status, blob)

    def download(self, file: StoredFile) -> None:
        """Send a file, or send the reader to the storage."""
        project = self.gitlab.project
        if project.options.redirect:
            there = f"http://127.0.0.1:{self.gitlab.storage}/blob/{file.id}?signature=secret"
            self.send(302, b"", {"Location": there})
            return
        extra = {"X-Checksum-SHA256": file.file_sha256} if project.options.checksum_header else {}
        self.send_file(file, extra)

    def send_file(self, file: StoredFile, extra: dict[str, str]) -> None:
        """Send a file's bytes, from where the reader wants them."""
        kind = self.fault.kind if self.fault and self.command == "GET" else ""
        start, wanted = 0, self.headers_lower.get("range", "")
        if wanted.startswith("bytes=") and wanted.endswith("-"):
            start = int(wanted[6:-1])
            if start >= file.size:
                raise Answer(416, {"message": "416 Range Not Satisfiable"})
            extra = {**extra, "Content-Range": f"bytes {start}-{file.size - 1}/{file.size}"}
        length = file.size - start
        stated = {"short": length // 2, "long": 2**40}.get(kind, length)
        self.send_response(206 if start else 200)
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **extra}
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(stated))
        self.end_headers()
        if self.command == "HEAD":
            return
        with open(file.path, "rb") as source:
            source.seek(start)
            left = length // 2 if kind in ("short", "truncate") else length
            while left:
                piece = source.read(min(left, _PIECE))
                left -= len(piece)
                if kind == "flip":
                    piece, kind = bytes([piece[0] ^ 1]) + piece[1:], ""
                self.wfile.write(piece)
        while kind == "long":
            self.wfile.write(bytes(_PIECE))
        if kind == "truncate":
            self.close_connection = True

    def page(self, rows: list[dict[str, Any]]) -> None:
        """Send one page of a list."""
        number, size = int(self.query.get("page", 1)), min(int(self.query.get("per_page", 20)), 100)
        pages = max(1, -(-len(rows) // size))
        headers = {
            "X-Total": str(len(rows)),
            "X-Total-Pages": str(pages),
            "X-Per-Page": str(size),
            "X-Page": str(number),
            "X-Next-Page": str(number + 1) if number < pages else "",
        }
        if number < pages:  # the header that python-gitlab follows
            path, query = urlsplit(self.path).path, urlencode({**self.query, "page": number + 1})
            headers["Link"] = f'<http://{self.headers["Host"]}{path}?{query}>; rel="next"'
        self.send_json(200, rows[(number - 1) * size : number * size], headers)

    def control(self, what: str) -> None:
        """Do what a test wants."""
        body = json.loads(self.rfile.read(self.left) or b"{}")
        gitlab = self.gitlab
        with gitlab.lock:
            match self.command, what:
                case "POST", "reset":
                    gitlab.reset(Options(**body))
                    self.send_json(200, {})
                case "POST", "fault":
                    gitlab.faults.append(Fault(**body))
                    self.send_json(200, {})
                case "POST", "heal":
                    gitlab.faults.clear()
                    self.send_json(200, {})
                case "GET", "arrived":
                    self.send_json(200, gitlab.arrived)
                case "GET", "log":
                    self.send_json(200, gitlab.log)
                case "GET", "state":
                    stored = [asdict(package) for package in gitlab.project.packages]
                    self.send_json(200, {"packages": stored, "visible": gitlab.project.view()})
                case _:
                    self.send_json(404, {})

    def refuse(self, answer: Answer) -> None:
        """Send a refusal; a body that nobody read ends the connection."""
        self.drain()
        unauthorized = {"WWW-Authenticate": 'Basic realm="GitLab Packages Registry"'}
        self.send_json(answer.status, answer.body, unauthorized if answer.status == 401 else {})

    def drain(self) -> None:
        """Read a small body that is not wanted, as Go's server does; leave a large one."""
        if self.left > 256 * 1024:
            self.close_connection = True
        else:
            self.rfile.read(self.left)
        self.left = 0

    def send_json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        """Send JSON."""
        self.send(
            status,
            json.dumps(value).encode(),
            {"Content-Type": "application/json", **(headers or {})},
        )

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def cut(self) -> None:
        """End the connection with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        raise ConnectionError

    def kill(self) -> None:
        """Kill the client, as a lost machine would."""
        assert self.fault is not None
        os.kill(self.fault.pid, signal.SIGKILL)


class Storage(Handler):
    """The object storage that GitLab may redirect to; it refuses GitLab's tokens."""

    def route(self, path: str) -> None:
        """Send a blob to whoever has its signed address."""
        if any(name in self.headers_lower for name in _SECRETS):
            raise Answer(400, {"message": "InvalidArgument: only one auth mechanism allowed"})
        word, _, id = path.strip("/").partition("/")
        for package in self.gitlab.project.packages:
            for file in package.files:
                if word == "blob" and str(file.id) == id and self.query.get("signature"):
                    self.send_file(file, {})
                    return
        raise Answer(404, {"message": "NoSuchKey"})


class Server(ThreadingHTTPServer):
    """A thread a connection; a client that vanishes is no news."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what is a bug of this server's, and only that."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def start(port: int, prefix: str, options: Options) -> Server:
    """Return a server that is bound and not yet serving; its storage already serves."""
    gitlab = Gitlab(prefix, options)

    def bound(kind: type[Handler], port: int) -> Server:
        handler = type(kind.__name__, (kind,), {"gitlab": gitlab})
        if not port:  # a port by its number, unlike a port 0, is kept while nobody listens
            with Server(("127.0.0.1", 0), handler) as lent:
                port = lent.server_port
        return Server(("127.0.0.1", port), handler)

    storage = bound(Storage, 0)
    gitlab.storage = storage.server_port
    threading.Thread(target=storage.serve_forever, daemon=True).start()
    return bound(Handler, port)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--prefix", default="", help="the sub-path GitLab lives under: /gitlab")
    parser.add_argument("--options", default="{}", help="JSON of gitlab_rules.Options")
    args = parser.parse_args()
    server = start(args.port, args.prefix, Options(**json.loads(args.options)))
    print(server.server_port, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
