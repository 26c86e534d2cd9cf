"""What goes wrong between a client and GitLab, on purpose and at the n-th request."""

import email.utils
import json
import time
from dataclasses import dataclass

PAGE = "<html><body><h1>{0}</h1>the proxy says {0}</body></html>"

REFUSALS: dict[str, tuple[int, dict[str, str], str]] = {
    "401": (401, {}, json.dumps({"message": "401 Unauthorized"})),
    "403": (403, {}, json.dumps({"message": "403 Forbidden"})),
    "404": (404, {}, json.dumps({"message": "404 Not Found"})),
    "409": (409, {}, json.dumps({"message": "409 Conflict: Resource lock"})),
    "413": (413, {"Content-Type": "text/html"}, PAGE.format(413)),
    "429": (429, {"Content-Type": "text/plain", "Retry-After": "1"}, "Retry later"),
    "429-date": (429, {"Content-Type": "text/plain", "Retry-After": "DATE"}, "Retry later"),
    "500": (500, {}, json.dumps({"message": "500 Internal Server Error"})),
    "502": (502, {"Content-Type": "text/html"}, PAGE.format(502)),
    "503": (503, {"Content-Type": "text/html"}, PAGE.format(503)),
    "504": (504, {"Content-Type": "text/html"}, PAGE.format(504)),
    "broken-json": (200, {}, '[{"name": "mnist'),
}
"""Answered instead of doing anything."""

OTHERS = (
    "refuse",  # nobody listens for a while: this connection dies, new ones are refused
    "reset",  # the connection dies in the middle of the request
    "lost",  # it is carried out, but the answer never comes
    "late",  # the answer is lost, and it is carried out when the next upload arrives
    "shadow",  # just before it is carried out, somebody stores another first file
    "overtake",  # just before it is carried out, somebody publishes the crate in `folder`
    "damage",  # the body is stored with one bit turned
    "hang",  # nothing happens for a long time
    "kill-before",  # the client dies before the request is carried out
    "kill-after",  # the client dies when it has been, before the answer
    "truncate",  # a download ends early
    "short",  # a download ends early and says that this is all
    "flip",  # a download has one bit turned
    "long",  # a download never ends
    "echo",  # refused, with the client's own headers in the text
)


@dataclass
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: A key of `REFUSALS` or one of `OTHERS`.
        at: Which request, counted from 1 since the fault was set.
        times: How many requests in a row, 0 for ever.
        method: Count only requests of this method, if given.
        file: Count only requests whose path ends so, if given.
        pid: The process that "kill-..." kills.
        folder: The crate that "overtake" publishes.
        seconds: How long "hang" hangs, and "refuse" refuses.
    """

    kind: str
    at: int = 1
    times: int = 1
    method: str = ""
    file: str = ""
    pid: int = 0
    folder: str = ""
    seconds: float = 30
    seen: int = 0

    def strikes(self, method: str, path: str) -> bool:
        """Count a request and return whether it is hit."""
        if (self.method and method != self.method) or not path.endswith(self.file):
            return False
        self.seen += 1
        return self.seen >= self.at and (not self.times or self.seen < self.at + self.times)


def refusal(kind: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of a refusal."""
    status, headers, body = REFUSALS[kind]
    filled = {"Content-Type": "application/json", **headers}
    if filled.get("Retry-After") == "DATE":
        filled["Retry-After"] = email.utils.formatdate(time.time() + 2, usegmt=True)
    return status, filled, body.encode()
