"""Values become JSON for people, and JSON from anywhere a value, or one line of why it does not."""

from typing import Any, TypeVar

import msgspec

from torchcrate.errors import ContractError

T = TypeVar("T")


def encode(value: Any, indent: int = 2) -> bytes:
    """Return `value` as JSON, indented for people, ending in a newline."""
    return msgspec.json.format(msgspec.json.encode(value), indent=indent) + b"\n"


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
