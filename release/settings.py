"""Which GitLab project is meant, and by what right it is asked; made once, at the edge.

A token goes to the GitLab that the environment says it is of, and to no other: GITLAB_HOST, as
for GitLab's own command glab; where that is not set, the GitLab whose job this is and the one
that TORCHCRATE_REGISTRY names, and where neither is, gitlab.com. An address alone, which may come
from anybody, gets none. This machine is trusted.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import httpx

from torchcrate.errors import UsageError
from torchcrate.release.retry import Patience

_API = re.compile(r"(?P<api>https?://[^?#]*?/api/v4)/projects/(?P<id>[^/?#]+)")
_TOKEN = re.compile(r"[!-~]+")
_KINDS = (
    ("GITLAB_TOKEN", "PRIVATE-TOKEN"),
    ("CI_JOB_TOKEN", "JOB-TOKEN"),
    ("GITLAB_DEPLOY_TOKEN", "DEPLOY-TOKEN"),
)


@dataclass(frozen=True)
class Credential:
    """A token and the header that GitLab reads it from; the token is never shown."""

    header: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Authorities:
    """Who may vouch for a server; paths, empty where nothing is named.

    Attributes:
        file: Certificates to take instead of the usual ones.
        folder: As `file`, a folder of them.
        more: Certificates to take beside the usual ones; GitLab gives a job its own so.
    """

    file: str = ""
    folder: str = ""
    more: str = ""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Authorities":
        """Read the variables that name them."""
        names = ("SSL_CERT_FILE", "SSL_CERT_DIR", "CI_SERVER_TLS_CA_FILE")
        return cls(*(env.get(name, "") for name in names))


@dataclass(frozen=True)
class Settings:
    """A GitLab project and how to speak with it; no token is ever shown.

    Attributes:
        project: URL of the project in the API: https://HOST/api/v4/projects/ID.
        credential: The token and its header, None to ask as anybody.
        patience: Timeouts and retries.
        authorities: Who may vouch for the project's GitLab.
        withheld: The variable of a token that is not known to be of this GitLab; empty if none.
    """

    project: str
    credential: Credential | None = None
    patience: Patience = field(default_factory=Patience)
    authorities: Authorities = field(default_factory=Authorities)
    withheld: str = ""

    @classmethod
    def from_env(
        cls, address: str | None, env: Mapping[str, str], *, allow_http: bool = False
    ) -> "Settings":
        """Find the project that `address` means and the token that opens it.

        Args:
            address: URL of the project's page or of its API; None for the project
                whose CI job this is, with the job's own token.
            env: `GITLAB_TOKEN`, `CI_JOB_TOKEN` or `GITLAB_DEPLOY_TOKEN`, taken in
                this order; `CI_API_V4_URL` and `CI_PROJECT_ID`; `GITLAB_HOST` and
                `TORCHCRATE_REGISTRY` for whose the token is; see `Authorities`.
            allow_http: Speak without encryption to a host that is not this machine.

        Raises:
            UsageError: If no project is meant, or the way there is not safe.
        """
        if address is None:
            project = _own_project(env)
            order = (_KINDS[1], _KINDS[0], _KINDS[2])
        else:
            project = _project_url(address, env.get("CI_API_V4_URL", ""))
            order = _KINDS
        if project.startswith("http:") and not allow_http and not is_loopback(project):
            raise UsageError(f"{project} is not encrypted: use https, or allow http on purpose")
        credential, withheld = _right(project, order, env)
        return cls(project, credential, authorities=Authorities.from_env(env), withheld=withheld)

    @property
    def stranger_hint(self) -> str:
        """What somebody can do who is refused without a token."""
        if not self.withheld:
            return "set GITLAB_TOKEN if the project is not public"
        scheme, _, rest = self.project.partition("://")
        host = f"{scheme}://{rest.partition('/')[0]}"
        return f"{self.withheld} was not sent there: set GITLAB_HOST={host} if it is of that GitLab"


def is_loopback(url: str) -> bool:
    """Return whether `url` names this very machine."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    """Return scheme, host and port: what a token is given for."""
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _own_project(env: Mapping[str, str]) -> str:
    """Return the project whose CI job this is."""
    missing = [name for name in ("CI_API_V4_URL", "CI_PROJECT_ID") if not env.get(name)]
    if missing:
        raise UsageError(
            f"no registry is named and {' and '.join(missing)} not set, so this is no GitLab "
            "job: name a folder or a GitLab project URL, also in TORCHCRATE_REGISTRY"
        )
    project = quote(env["CI_PROJECT_ID"], safe="%")
    return _checked(f"{env['CI_API_V4_URL'].rstrip('/')}/projects/{project}")


def _project_url(address: str, api: str) -> str:
    """Return the API's URL of the project that the URL `address` means.

    Args:
        address: A page, `https://HOST/GROUP/PROJECT`, or the API's own URL.
        api: `CI_API_V4_URL`; tells where an instance under a sub-path begins.
    """
    address = _checked(address)
    found = _API.match(address)
    if found:
        return found.group(0)
    api = api.rstrip("/")
    root = api.removesuffix("/api/v4")
    parts = urlsplit(address)
    if not api or not f"{address}/".startswith(f"{root}/"):
        root = f"{parts.scheme}://{parts.netloc}"
        api = f"{root}/api/v4"
    path = address.removeprefix(root).split("/-/")[0].strip("/").removesuffix(".git")
    if "/" not in path:
        raise UsageError(
            f"{address} is not a GitLab project: write https://HOST/GROUP/PROJECT "
            "or https://HOST/api/v4/projects/ID"
        )
    return f"{api}/projects/{quote(path, safe='')}"


def _checked(address: str) -> str:
    """Return `address` without query and fragment if it is a URL that can be asked."""
    if "@" in address:  # wherever it stands: a password may hold a slash, and is not to be shown
        raise UsageError(
            f"the address of {address.rpartition('@')[2].partition('/')[0]} holds a password: "
            "leave it out and set GITLAB_TOKEN"
        )
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise UsageError(f"the registry's address is not a URL: {str(error).lower()}") from error
    plain = f"{parts.scheme}://{parts.netloc}{parts.path}"
    try:
        host, _ = httpx.URL(plain).host, parts.port  # one beyond 65535 would be taken for another
    except (httpx.InvalidURL, ValueError) as error:
        raise UsageError(f"{plain} is not a URL: {str(error).lower()}") from error
    escaped = "%" in host and ":" not in host  # a space, say; behind a colon stands a zone of IPv6
    if parts.scheme not in ("http", "https") or not host or escaped:
        raise UsageError(f"{plain} is not a registry: give a folder or an https URL")
    return plain


def _right(
    project: str, order: Sequence[tuple[str, str]], env: Mapping[str, str]
) -> tuple[Credential | None, str]:
    """Return the first token that is of the project's GitLab, and the variable of one kept back."""
    withheld = ""
    for variable, header in order:
        token = env.get(variable, "").strip()
        if not token:
            continue
        if _is_of(variable, project, env):
            if not _TOKEN.fullmatch(token):
                raise UsageError(f"{variable} holds characters that no token has: set it again")
            return Credential(header, token), ""
        if header != "JOB-TOKEN":  # which is never of another GitLab than its job's
            withheld = withheld or variable
    return None, withheld


def _is_of(variable: str, project: str, env: Mapping[str, str]) -> bool:
    """Return whether the token in `variable` is of the GitLab that `project` is on."""
    host, job = env.get("GITLAB_HOST", "").strip(), env.get("CI_API_V4_URL", "")
    if variable == "CI_JOB_TOKEN":
        homes = [job]
    elif host:
        homes = [host if "://" in host else f"https://{host}"]
    else:
        homes = [url for url in (job, env.get("TORCHCRATE_REGISTRY", "")) if "://" in url]
        homes = homes or ["https://gitlab.com"]
    try:
        known = {origin(httpx.URL(home)) for home in homes}
    except httpx.InvalidURL as error:  # not shown: it may hold a password
        raise UsageError("GITLAB_HOST or TORCHCRATE_REGISTRY is not a URL: correct it") from error
    return is_loopback(project) or origin(httpx.URL(project)) in known
