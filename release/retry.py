"""Trying again: a bounded number of times and seconds, each retry one visible line."""

import email.utils
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from torchcrate.errors import RegistryError
from torchcrate.release.registry import Notice

if TYPE_CHECKING:
    import tenacity

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long to wait and how often to try; seconds.

    Attributes:
        tries: Attempts for one request, the first among them.
        total: No new attempt begins after this long.
        first: The first pause; later ones double, with jitter.
        longest: No pause is longer, whatever `Retry-After` says.
        connect: Until a connection stands.
        silence: Without a byte from the other side; a server stores a big file in silence.
    """

    tries: int = 6
    total: float = 900
    first: float = 0.5
    longest: float = 30
    connect: float = 15
    silence: float = 120


class PassingError(RegistryError):
    """A failure that may pass; `after` is the server's own word, in seconds, for when."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


def persist(attempt: Callable[[bool], T], patience: Patience, on_notice: Notice) -> T:
    """Return what `attempt` returns, trying again while its failure may pass.

    Args:
        attempt: Called with False at first and with True on every later try, when
            an earlier request may have been carried out and only its answer lost.
        patience: How often and how long.
        on_notice: Called with one line before each pause.

    Raises:
        RegistryError: The last failure.
    """
    begun = time.monotonic()
    try:
        return attempt(False)
    except PassingError as error:
        failure = error
    return _again(attempt, failure, begun, patience, on_notice)


def _again(
    attempt: Callable[[bool], T],
    failure: PassingError,
    begun: float,
    patience: Patience,
    on_notice: Notice,
) -> T:
    """Go on after the first try ended in `failure`; `begun` is when that was started."""
    import tenacity  # here: most requests need no second try, and it takes long to import

    first: PassingError | None = failure
    doubling = tenacity.wait_exponential(
        multiplier=patience.first, max=patience.longest
    ) + tenacity.wait_random(0, patience.first)

    def once() -> T:
        nonlocal first
        if first is not None:
            error, first = first, None
            raise error
        return attempt(True)

    def pause(state: "tenacity.RetryCallState") -> float:
        after = _failure(state).after
        if after is not None and after > 0:  # "at once" is what the first try was
            return min(after, patience.longest)
        return doubling(state)

    def tell(state: "tenacity.RetryCallState") -> None:
        seconds = state.next_action.sleep if state.next_action else 0.0
        following = f"try {state.attempt_number + 1} of {patience.tries} in {seconds:.1f} s"
        on_notice(f"{_failure(state)}; {following}")

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(PassingError),
        stop=tenacity.stop_after_attempt(patience.tries)
        | tenacity.stop_before_delay(patience.total - (time.monotonic() - begun)),
        wait=pause,
        before_sleep=tell,
        reraise=True,
    )(once)


def _failure(state: "tenacity.RetryCallState") -> PassingError:
    error = state.outcome.exception() if state.outcome else None
    return error if isinstance(error, PassingError) else PassingError("no answer")


def seconds_after(value: str | None) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, given as number or date."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdecimal():
        return float(value)
    try:
        return email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (TypeError, ValueError):
        return None
