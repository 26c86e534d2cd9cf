"""What GitLab's generic package registry decides, without HTTP: who may, what is kept.

Written after GitLab's sources and specifications; where this differs from the real
server, this is wrong. Everything lives in memory but the files' bytes.
"""

import base64
import re
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROLES = ("none", "guest", "developer", "maintainer")
VISIBLE = ("default", "error", "deprecated")  # what lists and ids show
INSTALLABLE = ("default", "hidden", "deprecated")  # what a file's own URL gives out

_NAME = re.compile(r"[A-Za-z0-9._\-+]+")
_VERSION = re.compile(r"(?!.*\.\.)[\w+.-]+", re.ASCII)
_FILE = re.compile(r"(?![~@])[A-Za-z0-9._\-+~@]+(?<![~@])")


class Answer(Exception):  # noqa: N818 - an answer of the server's, not an error of ours
    """A refusal: status and body as GitLab words them."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass
class Options:
    """How this GitLab is set up; `reset` takes any of these by name."""

    project: str = "42"
    path: str = "group/crates"
    public: bool = False
    duplicates: bool = True
    checksum_header: bool = True
    select: bool = True  # whether PUT answers with the row when asked to
    by_id: bool = True  # whether one copy can be had by its id; GitLab can since 18.4
    redirect: bool = False  # files come from another origin, which refuses GitLab's tokens
    max_file_size: int = 5 * 2**30
    tags: list[str] | None = None  # of the repository; None: whichever is asked for
    protected_tags: list[str] = field(default_factory=list)  # only Maintainers release these
    tokens: dict[str, str] = field(
        default_factory=lambda: {
            "glpat-developer": "developer",
            "glpat-maintainer": "maintainer",
            "glpat-guest": "guest",
            "glpat-reader": "maintainer",
            "glpat-stranger": "none",
        }
    )
    scopes: dict[str, list[str]] = field(default_factory=lambda: {"glpat-reader": ["read_api"]})
    job_tokens: dict[str, str] = field(default_factory=lambda: {"glcbt-job": "developer"})
    deploy_tokens: dict[str, str] = field(
        default_factory=lambda: {"gldt-read": "read", "gldt-write": "write"}
    )


@dataclass
class StoredFile:
    """One copy of a file; the newest of a name is the one that is served."""

    id: int
    package_id: int
    file_name: str
    size: int
    file_sha256: str
    path: str

    def row(self) -> dict[str, Any]:
        """Return what the API says of it."""
        row = asdict(self)
        del row["path"]
        return {**row, "file_md5": None, "file_sha1": None, "created_at": "2026-01-01T00:00:00Z"}


@dataclass
class Package:
    """One name and version; the status is the whole package's."""

    id: int
    name: str
    version: str
    status: str
    files: list[StoredFile] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """Return what the API says of it."""
        row = {key: getattr(self, key) for key in ("id", "name", "version", "status")}
        return {**row, "package_type": "generic", "created_at": "2026-01-01T00:00:00Z", "tags": []}

    def newest(self, file: str) -> StoredFile | None:
        """Return the copy that a reader gets."""
        return next((copy for copy in reversed(self.files) if copy.file_name == file), None)


@dataclass(frozen=True)
class Actor:
    """Who asks: by which kind of token, with which right."""

    kind: str  # "pat", "job", "deploy" or "anonymous"
    role: str  # of ROLES; "read" or "write" for a deploy token


ANONYMOUS = Actor("anonymous", "none")


class Project:
    """One project's packages and the rules over them."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.packages: list[Package] = []
        self.folder = Path(tempfile.mkdtemp(prefix="gitlab-server-"))
        self._ids = 0

    def next_id(self) -> int:
        """Return an id larger than any before."""
        self._ids += 1
        return self._ids

    def actor(self, headers: dict[str, str], query: dict[str, str]) -> Actor:
        """Return who asks; an unusable PAT or job token is refused, even where anybody may read."""
        tokens = {
            "pat": headers.get("private-token") or query.get("private_token"),
            "job": headers.get("job-token") or query.get("job_token"),
        }
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            tokens["job" if rest in self.options.job_tokens else "pat"] = rest
        for kind, known in (("pat", self.options.tokens), ("job", self.options.job_tokens)):
            token = tokens[kind]
            if token is not None:
                if token not in known:
                    raise _unauthorized()
                return Actor(kind, known[token])
        deploy = headers.get("deploy-token", "")
        if scheme.lower() == "basic":
            user, _, word = base64.b64decode(rest).decode().partition(":")
            if user == "gitlab-ci-token" and word in self.options.job_tokens:
                return Actor("job", self.options.job_tokens[word])
            if word in self.options.tokens:
                return Actor("pat", self.options.tokens[word])
            deploy = word
        if deploy in self.options.deploy_tokens:
            return Actor("deploy", self.options.deploy_tokens[deploy])
        return ANONYMOUS

    def may_read_file(self, actor: Actor) -> None:
        """Refuse who may not read a file."""
        if self.options.public or actor.kind == "deploy" or actor.role in ROLES[1:]:
            return
        raise _unauthorized() if actor.kind == "anonymous" else _not_found("404 Not Found")

    def may_write(self, actor: Actor) -> None:
        """Refuse who may not store a file."""
        if actor.role in ("write", "developer", "maintainer"):
            return
        if actor.kind == "anonymous":
            raise _unauthorized()
        if actor.role == "none" and not self.options.public:
            raise _not_found("404 Not Found")
        raise Answer(403, {"message": "403 Forbidden"})

    def may_list(self, actor: Actor) -> None:
        """Refuse who may not list; a deploy token counts as nobody here."""
        if self.options.public or actor.role in ROLES[1:]:
            return
        if actor.kind == "job":
            raise Answer(403, {"message": "403 Forbidden"})
        raise _not_found("404 Project Not Found")

    def may_delete(self, actor: Actor) -> None:
        """Refuse who is no Maintainer."""
        self.may_list(actor)
        if actor.role != "maintainer":
            raise Answer(403, {"message": "403 Forbidden"})

    def account(self, actor: Actor, headers: dict[str, str]) -> list[str]:
        """Return the scopes of a personal token; nobody else has an account here."""
        if actor.kind != "pat":
            raise _unauthorized()
        return self.options.scopes.get(headers.get("private-token", ""), ["api"])

    def permissions(self, actor: Actor) -> dict[str, Any]:
        """Return what a member may do here; a job token counts as nobody."""
        if actor.kind != "pat" or actor.role == "none":
            raise _not_found("404 Project Not Found")
        level = {"guest": 10, "developer": 30, "maintainer": 40}[actor.role]
        access = {"access_level": level, "notification_level": 3}
        return {"permissions": {"project_access": access, "group_access": None}}

    def check_upload(self, name: str, version: str, file: str, query: dict[str, str]) -> None:
        """Refuse bad words before the body is read."""
        rules = {"package_name": (_NAME, name), "package_version": (_VERSION, version)}
        for key, (rule, word) in rules.items():
            if not rule.fullmatch(word):
                raise Answer(400, {"error": f"{key} is invalid"})
        if not _FILE.fullmatch(file):
            raise Answer(400, {"error": "file_name should be a valid file path"})
        if query.get("status", "default") not in ("default", "hidden"):
            raise Answer(400, {"error": "status does not have a valid value"})
        if query.get("select", "package_file") != "package_file":
            raise Answer(400, {"error": "select does not have a valid value"})

    def store(
        self, name: str, version: str, file: str, status: str | None, blob: tuple[Path, int, str]
    ) -> StoredFile:
        """Keep an uploaded file; this is GitLab's one transaction, so it comes last and whole."""
        path, size, sha256 = blob
        if size > self.options.max_file_size:
            raise Answer(400, {"message": "400 Bad request - File is too large"})
        package = self.find(name, version)
        if package and package.newest(file) and not self.options.duplicates:
            raise Answer(400, {"message": "400 Bad request - Duplicate package is not allowed"})
        if package is None:
            package = Package(self.next_id(), name, version, status or "default")
            self.packages.append(package)
        if status and package.status != status:
            package.status = status
        stored = StoredFile(self.next_id(), package.id, file, size, sha256, str(path))
        package.files.append(stored)
        return stored

    def find(self, name: str, version: str) -> Package | None:
        """Return the package of this name and version, whatever its status."""
        return next((p for p in self.packages if (p.name, p.version) == (name, version)), None)

    def file(self, name: str, version: str, file: str) -> StoredFile:
        """Return what a file's own URL gives out: listed or hidden."""
        package = self.find(name, version)
        found = package.newest(file) if package and package.status in INSTALLABLE else None
        if found is None:
            raise _not_found("404 Not found")
        return found

    def listed(self, query: dict[str, str]) -> list[Package]:
        """Return the packages that a list shows: names by substring, hidden ones if asked for."""
        status = query.get("status")
        if status not in (None, "default", "hidden", "error", "deprecated"):
            raise Answer(400, {"error": "status does not have a valid value"})
        return [
            package
            for package in self.packages
            if (package.status == status if status else package.status in VISIBLE)
            and query.get("package_name", "") in package.name
            and query.get("package_version", package.version) == package.version
            and query.get("package_type", "generic") == "generic"
        ]

    def by_id(self, id: int) -> Package:
        """Return a visible package; a hidden one has no id that works."""
        for package in self.packages:
            if package.id == id and package.status in VISIBLE:
                return package
        raise _not_found("404 Not found")

    def view(self) -> dict[str, dict[str, str]]:
        """Return what a reader's list shows: by name@version the sha256 of each file served."""
        return {
            f"{package.name}@{package.version}": {
                file.file_name: file.file_sha256 for file in package.files
            }
            for package in self.packages
            if package.status in VISIBLE
        }


def _unauthorized() -> Answer:
    return Answer(401, {"message": "401 Unauthorized"})


def _not_found(words: str) -> Answer:
    return Answer(404, {"message": words})
