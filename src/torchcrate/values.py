"""JSON from anywhere becomes a typed value, or one line that says why it does not."""

from typing import TypeVar

import msgspec

from torchcrate.errors import ContractError

T = TypeVar("T")


def decode(data: bytes, kind: type[T], what: str) -> T:
    """Return the JSON in `data` as a value of `kind`.

    Raises:
        ContractError: If it is not such JSON; begins with `what`.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    # Not all that is wrong with hostile text is msgspec's own error.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"{what}: {error}") from error
