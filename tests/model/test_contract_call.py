"""The tensors of one call keep the contract together: the same word is the same size."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchcrate.errors import ContractError
from torchcrate.model.contract import Contract, Sizes, TensorSpec, tensor

TAGGER = Contract(
    inputs=(
        tensor("tokens:int64[batch,time] in 0..999 as tokens"),
        tensor("mask?:bool[batch,time]"),
        tensor("scale:float32[]"),
    ),
    outputs=(tensor("scores:float32[batch,time,7]"), tensor("best:int64[batch,path]")),
    sizes={"time": Sizes(2, 5), "batch": Sizes(0)},
)


def call(batch: int = 2, time: int = 3) -> list[Any]:
    """Return inputs that fit."""
    tokens = np.zeros((batch, time), np.int64)
    return [tokens, np.ones((batch, time), np.bool_), np.zeros((), np.float32)]


def answers(batch: int = 2, time: int = 3, path: int = 4) -> list[Any]:
    """Return outputs that fit."""
    return [torch.zeros(batch, time, 7), torch.zeros(batch, path, dtype=torch.int64)]


@pytest.mark.parametrize("batch", [0, 1, 9])
@pytest.mark.parametrize("time", [2, 5])
def test_what_fits_is_let_through(batch: int, time: int) -> None:
    TAGGER.check(call(batch, time), answers(batch, time))


def test_an_optional_input_may_be_absent() -> None:
    tokens, _, scale = call()

    TAGGER.check([tokens, None, scale], answers())


@pytest.mark.parametrize(
    ("given", "said", "words"),
    [
        (call()[:2], (), "there are 2 inputs, not 3"),
        ([None, *call()[1:]], (), "tokens is missing"),
        ([*call()[:2], None], (), "scale is missing"),
        ([call(time=3)[0], *call(time=4)[1:]], (), "mask has time 4, tokens has 3"),
        ([call(batch=0)[0], *call(batch=1)[1:]], (), "mask has batch 1, tokens has 0"),
        (call(time=1), (), "tokens has shape (2, 1), not (batch, time) with batch 0..; time 2..5"),
        (call(time=6), (), "tokens has shape (2, 6), not"),
        ([*call()[:2], np.zeros(1, np.float32)], (), "scale has shape (1,), not ()"),
        ([*call()[:2], np.zeros(())], (), "scale has dtype float64, not float32"),
        (call(), answers()[:1], "there are 1 outputs, not 2"),
        (call(), answers(batch=3), "scores has batch 3, tokens has 2"),
        (call(), [answers()[0], answers(batch=3)[1]], "best has batch 3, tokens has 2"),
        (call(), [answers()[0][..., :6], answers()[1]], "scores has shape (2, 3, 6), not"),
        (call(), answers(path=0), "best has shape (2, 0), not (batch, path)"),
        (call(), [answers()[0], None], "best is missing"),
    ],
)
def test_what_breaks_it_is_said_by_name(given: list[Any], said: list[Any], words: str) -> None:
    with pytest.raises(ContractError) as refused:
        TAGGER.check(given, said)

    assert words in str(refused.value)


def test_one_tensor_holds_one_word_to_one_size() -> None:
    square = Contract((tensor("matrix:float32[n,n]"),), ())

    square.check([np.zeros((3, 3), np.float32)])
    with pytest.raises(ContractError, match="matrix has n 4, matrix has 3"):
        square.check([np.zeros((3, 4), np.float32)])


def test_free_axes_are_those_of_the_inputs_in_order() -> None:
    assert TAGGER.free == ("batch", "time")
    assert TAGGER.sizes_of("path") == Sizes()


@given(st.integers(0, 9), st.integers(0, 9))
def test_sizes_are_free_only_within_their_range(batch: int, time: int) -> None:
    if 2 <= time <= 5:
        TAGGER.check(call(batch, time))
    else:
        with pytest.raises(ContractError):
            TAGGER.check(call(batch, time))


def test_the_whole_of_it_survives_json() -> None:
    assert Contract.parse(TAGGER.dump()) == TAGGER


def test_an_older_contract_has_defaults_for_what_it_does_not_say() -> None:
    old = b'{"inputs":[{"name":"x","dtype":"int8","axes":["n",2]}],"outputs":[]}'

    assert Contract.parse(old) == Contract((TensorSpec("x", "int8", ("n", 2)),), ())
