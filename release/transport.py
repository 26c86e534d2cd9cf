"""HTTP as a registry needs it: bounded, retried, checked, and silent about tokens.

Every call has a timeout. Redirects are followed by hand, and credentials never
leave the origin that they were given for.
"""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO, TypeVar

import httpx

from torchcrate.errors import RegistryError, UsageError
from torchcrate.release.registry import NotFoundError, Notice, silent
from torchcrate.release.retry import PassingError, persist, seconds_after
from torchcrate.release.settings import Authorities, Settings, is_loopback, origin

T = TypeVar("T")

_PIECE = 1 << 20
_ANSWER_LIMIT = 16 << 20  # a page of 100 packages is far below; more is no answer to us
_TEXT_LIMIT = 200
_HOPS = 5
_PASSES = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 530)})


class RefusedError(RegistryError):
    """The server answered, and said no."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """A whole answer, held in memory."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self, url: str) -> Any:
        """Return the body as JSON.

        Raises:
            PassingError: If it is none; proxies put their own pages in the way.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise PassingError(
                f"{url} answered {self.status} with something that is not JSON"
            ) from error


class Transport:
    """Requests to one origin, with one credential.

    The proxy, if any, is the one that the environment names to httpx.
    """

    def __init__(self, settings: Settings, on_notice: Notice, on_request: Notice = silent) -> None:
        self._origin = origin(httpx.URL(settings.project))
        self._credential = settings.credential
        self._patience = patience = settings.patience
        self._on_notice = on_notice
        self._on_request = on_request
        trusting = not is_loopback(settings.project)  # a proxy never reaches this machine
        try:
            self._client = httpx.Client(
                follow_redirects=False,
                timeout=httpx.Timeout(patience.silence, connect=patience.connect),
                trust_env=trusting,
                verify=_certificates(settings.authorities),
                headers={"User-Agent": "torchcrate", "Accept-Encoding": "identity"},
            )
        except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
            # A kind of proxy that needs another package, or certificates that are not there.
            raise UsageError(
                "the environment's proxy or certificates cannot be used "
                f"({str(error).lower()}): correct https_proxy, all_proxy or SSL_CERT_FILE"
            ) from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def announce(
        self, method: str, url: str, params: Mapping[str, str] | None = None, size: int = 0
    ) -> None:
        """Show a request in one line, as it is or would be sent."""
        target = httpx.URL(url, params=params) if params else url
        self._on_request(f"{method} {target}" + (f" ({size} bytes)" if size else ""))

    def persist(self, attempt: Callable[[bool], T]) -> T:
        """Return what `attempt` returns; see `retry.persist`."""
        return persist(attempt, self._patience, self._on_notice)

    def ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        body: BinaryIO | Iterator[bytes] | None = None,
        size: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request, once, and return its whole answer.

        Raises:
            NotFoundError: If the answer is 404.
            RefusedError: If the server says no.
            PassingError: If the failure may pass; whether it was carried out is then unknown.
        """
        sent = {**(headers or {}), **({"Content-Length": str(size)} if body is not None else {})}
        with self._open(method, url, params, sent, body) as response:
            pieces = bytearray()
            for piece in response.iter_raw(_PIECE):
                pieces += piece
                if len(pieces) > _ANSWER_LIMIT:
                    raise RegistryError(f"{url} answered with more than {_ANSWER_LIMIT} bytes")
            return Answer(response.status_code, response.headers, bytes(pieces))

    @contextmanager
    def stream(self, url: str, start: int) -> Iterator[tuple[bool, Iterator[bytes]]]:
        """GET `url` from byte `start`; give whether it goes on from there, and the pieces.

        Raises:
            As `ask`, also while the pieces are read.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._open("GET", url, None, headers, None) as response:
            goes_on = response.status_code == 206 and response.headers.get(
                "Content-Range", ""
            ).startswith(f"bytes {start}-")
            # Pieces as they arrive: a collected one would be lost when the connection breaks.
            yield goes_on, response.iter_raw()

    @contextmanager
    def _open(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        body: BinaryIO | Iterator[bytes] | None,
    ) -> Iterator[httpx.Response]:
        """Send a request and give its answer, its body unread, redirects followed."""
        target = httpx.URL(url, params=params) if params else httpx.URL(url)
        self.announce(method, url, params)
        try:
            for _ in range(_HOPS):
                request = self._client.build_request(
                    method, target, headers={**headers, **self._secrets(target)}, content=body
                )
                response = self._client.send(request, stream=True)
                try:
                    if not response.has_redirect_location:
                        self._judge(response)
                        yield response
                        return
                    if method not in ("GET", "HEAD"):
                        raise RefusedError(self._moved(response, target), response.status_code)
                    target = self._next(response, target)
                finally:
                    response.close()
            raise RegistryError(f"{url} redirects more than {_HOPS} times")
        except httpx.TransportError as error:
            reason = str(error).lower() or type(error).__name__.lower()
            if "certificate verify failed" in reason:  # and will at every other try
                raise RegistryError(
                    f"{_plain(target)} is vouched for by nobody who is known here: {reason}; set "
                    "SSL_CERT_FILE to the certificates of who does, or have the server's renewed"
                ) from error
            raise PassingError(
                f"{_plain(target)} cannot be reached: {self._scrub(reason)}"
            ) from error
        except (httpx.InvalidURL, httpx.StreamError) as error:
            raise RegistryError(f"{url}: {str(error).lower()}") from error

    def _secrets(self, target: httpx.URL) -> dict[str, str]:
        """Return the credential's header for the registry's own origin, and for no other."""
        if self._credential is None or origin(target) != self._origin:
            return {}
        return {self._credential.header: self._credential.token}

    def _next(self, response: httpx.Response, target: httpx.URL) -> httpx.URL:
        """Return where a redirect leads; never from https to http."""
        following = target.join(response.headers["Location"])
        if following.scheme not in ("http", "https") or (
            following.scheme == "http" and target.scheme == "https"
        ):
            raise RegistryError(f"{_plain(target)} redirects to {_plain(following)}, not to https")
        return following

    def _moved(self, response: httpx.Response, target: httpx.URL) -> str:
        there = _plain(target.join(response.headers["Location"]))
        return f"{_plain(target)} has moved to {there}: use the address it has now"

    def _judge(self, response: httpx.Response) -> None:
        """Raise what an answer other than success means."""
        status = response.status_code
        if response.is_success:
            return
        said = self._said(response)
        message = (
            f"{response.request.method} {_plain(response.request.url)} answered {status}{said}"
        )
        if status in _PASSES or (status == 409 and "resource lock" in said.lower()):
            raise PassingError(message, after=seconds_after(response.headers.get("Retry-After")))
        if status == 404:
            raise NotFoundError(message)
        raise RefusedError(message, status)

    def _said(self, response: httpx.Response) -> str:
        """Return the server's reason as one short line, if it gave one that people can read."""
        body = b""
        try:
            for piece in response.iter_raw(_PIECE):
                body += piece
                if len(body) > _PIECE:
                    break
        except httpx.HTTPError:
            return ""  # the status says enough
        text = body.decode(errors="replace")
        if "html" in response.headers.get("Content-Type", "") or text.lstrip().startswith("<"):
            return " with a web page, not an answer of GitLab's"
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = text
        if isinstance(found, dict):
            found = found.get("message") or found.get("error") or ""
        if isinstance(found, list):
            found = "; ".join(map(str, found))
        line = " ".join(str(found).split())
        return f": {self._scrub(line)[:_TEXT_LIMIT]}" if line else ""

    def _scrub(self, text: str) -> str:
        """Return `text` without the token, should the other side repeat it."""
        return text.replace(self._credential.token, "[token]") if self._credential else text


@cache
def _certificates(named: Authorities) -> ssl.SSLContext:
    """Return who may vouch for a server: read once, as that takes longer than many a request."""
    if named.file or named.folder:
        return ssl.create_default_context(
            cafile=named.file or None, capath=None if named.file else named.folder
        )
    context = httpx.create_ssl_context(trust_env=False)
    if named.more:
        context.load_verify_locations(named.more)
    return context


def _plain(url: httpx.URL) -> str:
    """Return `url` without its query, where signatures are, and without a password."""
    return str(url.copy_with(query=None, userinfo=b"", fragment=None))
