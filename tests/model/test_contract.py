"""The contract is one value, the same after a trip through JSON."""

import numpy as np
import pytest
import torch

from torchcrate.errors import ContractError
from torchcrate.model.contract import Contract
from torchcrate.model.digits import DIGITS


def test_parse_undoes_dump() -> None:
    assert Contract.parse(DIGITS.dump()) == DIGITS


@pytest.mark.parametrize("data", [b"", b"{}", b'{"inputs":3}', DIGITS.dump()[:-1]], ids=len)
def test_what_is_no_contract_is_refused(data: bytes) -> None:
    with pytest.raises(ContractError, match="not a contract"):
        Contract.parse(data)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (64, 1, 480, 640)], ids=str)
def test_any_batch_and_size_fits(shape: tuple[int, ...]) -> None:
    DIGITS.inputs[0].check(np.zeros(shape, np.uint8))
    DIGITS.inputs[0].check(torch.zeros(shape, dtype=torch.uint8))


@pytest.mark.parametrize(
    "tensor",
    [
        np.zeros((1, 1, 28, 28), np.float32),
        np.zeros((1, 3, 28, 28), np.uint8),
        np.zeros((1, 28, 28), np.uint8),
        np.zeros((0, 1, 28, 28), np.uint8),
    ],
    ids=["float", "colour", "no channel", "empty"],
)
def test_what_does_not_fit_is_refused_by_name(tensor: np.ndarray) -> None:
    with pytest.raises(ContractError, match="image has"):
        DIGITS.inputs[0].check(tensor)
