"""Which GitLab project is meant, and by what right it is asked; made once, at the edge."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import httpx

from torchcrate.errors import UsageError
from torchcrate.release.retry import Patience
from torchcrate.release.transport import Credential, is_loopback

_API = re.compile(r"(?P<api>https?://[^?#]*?/api/v4)/projects/(?P<id>[^/?#]+)")
_TOKEN = re.compile(r"[!-~]+")
_KINDS = (
    ("GITLAB_TOKEN", "PRIVATE-TOKEN"),
    ("CI_JOB_TOKEN", "JOB-TOKEN"),
    ("GITLAB_DEPLOY_TOKEN", "DEPLOY-TOKEN"),
)


@dataclass(frozen=True)
class Settings:
    """A GitLab project and how to speak with it; no token is ever shown.

    Attributes:
        project: URL of the project in the API: https://HOST/api/v4/projects/ID.
        credential: The token and its header, None to ask as anybody.
        patience: Timeouts and retries.
    """

    project: str
    credential: Credential | None = None
    patience: Patience = field(default_factory=Patience)

    @classmethod
    def from_env(
        cls, address: str | None, env: Mapping[str, str], *, allow_http: bool = False
    ) -> "Settings":
        """Find the project that `address` means and the token that opens it.

        Args:
            address: URL of the project's page or of its API; None for the project
                whose CI job this is, with the job's own token.
            env: `GITLAB_TOKEN`, `CI_JOB_TOKEN` or `GITLAB_DEPLOY_TOKEN`, taken in
                this order; `CI_API_V4_URL` and `CI_PROJECT_ID`.
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
        foreign = _is_foreign(project, env.get("CI_API_V4_URL", ""))
        for variable, header in order:
            # A job's token is good at its own GitLab; another host could only misuse it.
            if env.get(variable, "").strip() and not (header == "JOB-TOKEN" and foreign):
                return cls(project, _credential(variable, header, env[variable].strip()))
        return cls(project)


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
        host = httpx.URL(plain).host
    except httpx.InvalidURL as error:
        raise UsageError(f"{plain} is not a URL: {str(error).lower()}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(f"{plain} is not a registry: give a folder or an https URL")
    return plain


def _is_foreign(project: str, api: str) -> bool:
    """Return whether `project` is known to be elsewhere than the GitLab this job runs for."""
    return bool(api) and urlsplit(project)[:2] != urlsplit(api)[:2]


def _credential(variable: str, header: str, token: str) -> Credential:
    if not _TOKEN.fullmatch(token):
        raise UsageError(f"{variable} holds characters that no token has: set it again")
    return Credential(header, token)
