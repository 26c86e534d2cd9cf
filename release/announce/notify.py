"""People are told of a version by apprise: any of its services, each by one URL.

Such a URL holds the service's password, so it is never shown; a service is named by its
kind and its place in the setting. What apprise would log of it is dropped as well.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torchcrate.errors import NotifyError, UsageError
from torchcrate.release.announce.notes import Notes


@dataclass(frozen=True)
class Notified:
    """Who was told.

    Attributes:
        title: Name and version that it was about.
        told: The services that took the message, by kind and place: "JSON (1 of 2)".
    """

    title: str
    told: tuple[str, ...]


def notify(notes: Notes, urls: str) -> Notified:
    """Send the notes of a version to every service that `urls` names.

    Args:
        notes: What to say.
        urls: apprise's URLs, separated by spaces or commas; each may hold a secret.

    Raises:
        UsageError: If apprise is not installed, or a URL is none that it knows.
        NotifyError: If a service did not take the message; the others were told.
    """
    if not urls.strip():
        raise UsageError("nobody is named to notify: set TORCHCRATE_NOTIFY_URLS to apprise's URLs")
    try:
        import apprise
    except ImportError as error:
        raise UsageError(
            "apprise is not installed: pip install 'torchcrate[notify]' to notify people"
        ) from error
    with _unlogged():
        known = apprise.Apprise()
        if not known.add(urls):
            raise UsageError(
                f"apprise does not know every URL to notify, it knows {len(known)} of them: "
                "see its list of services for how each is written"
            )
        answers = {}
        for place, service in enumerate(known, 1):
            one = apprise.Apprise()
            one.add(service)
            answers[f"{service.service_name} ({place} of {len(known)})"] = one.notify(
                body=notes.body, title=notes.title, body_format=apprise.NotifyFormat.MARKDOWN
            )
    failed = [name for name, taken in answers.items() if not taken]
    if failed:
        raise NotifyError(
            f"{notes.title} is published, but {', '.join(failed)} did not take the notification: "
            "check its URL and the service, then run 'torchcrate notify' again"
        )
    return Notified(notes.title, tuple(answers))


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep apprise's own log silent while the block runs: it may quote a URL."""
    log = logging.getLogger("apprise")
    before = log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = before
