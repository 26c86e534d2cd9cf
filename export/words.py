"""What torch says when it cannot export a network, in the words of who wrote the network."""

from collections.abc import Sequence

from torchcrate.errors import CrateError
from torchcrate.export.messages import first_line, translated
from torchcrate.export.place import Place, in_traceback
from torchcrate.export.to_torchscript import Frozen
from torchcrate.model.targets import is_installed

# What the tracer warns of, by a word of the warning; what it does not name is a size or a number.
_KEPT = {
    "boolean": "a decision that depends on the input",
    "Iterating": "how many turns a loop over the input takes",
    "NumPy": "what numpy makes of the input",
    "registered as constants": "what is made outside of torch",
    "Python": "a number that depends on the input",
}


def reason_of(error: BaseException) -> str:
    """Return why an export failed: one line, with the line of the user's code if it is known."""
    if isinstance(error, CrateError):
        return str(error)
    if words := translated(error):
        return words
    place = in_traceback(error)
    return f"{first_line(error)}{f' at {place.words()}' if place else ''}"


def frozen_words(frozen: Sequence[Frozen]) -> str:
    """Return what a trace kept of its example, with the lines at which it did; "" if nothing."""
    own = [one for one in frozen if not is_installed(one.file)] or list(frozen)
    places = {Place(one.file, one.line): _kept(one.what) for one in own}
    lines = [f"{kept} at {place.words()}" for place, kept in places.items()]
    if not lines:
        return ""
    more = f", and {len(lines) - 3} more" if len(lines) > 3 else ""
    return f"the trace keeps of its example {', '.join(lines[:3])}{more}"


def _kept(what: str) -> str:
    return next((words for key, words in _KEPT.items() if key in what), "a size")
