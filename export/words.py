"""What torch says when it cannot export a network, in the words of who wrote the network."""

from collections.abc import Sequence

from torchcrate.export.to_torchscript import Frozen
from torchcrate.model.targets import is_installed, said, short, where


def reason_of(error: BaseException) -> str:
    """Return why an export failed: one line, with its place in the user's code if known."""
    return f"{said(error)}{where(error)}"


def frozen_words(frozen: Sequence[Frozen]) -> str:
    """Return what a trace kept of its example, with the lines at which it did; "" if nothing."""
    lines = [f"{short(one.file)}:{one.line}" for one in frozen if not is_installed(one.file)] or [
        f"{short(one.file)}:{one.line}" for one in frozen
    ]
    if not lines:
        return ""
    return (
        f"the trace kept what its example made of {', '.join(dict.fromkeys(lines))}: "
        "a decision or a size that depends on the input"
    )
