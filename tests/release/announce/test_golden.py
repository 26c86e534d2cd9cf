"""Golden vectors are read with the standard library, and their difference is what numpy says."""

import json
import math
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from torchcrate.errors import ContractError
from torchcrate.model.digits import DIGITS
from torchcrate.release.announce.golden import compare, difference, read

DTYPES = [np.float64, np.float32, np.float16, np.int64, np.uint64, np.int32, np.uint32]
DTYPES += [np.int16, np.uint16, np.int8, np.uint8, np.bool_]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
def test_every_dtype_is_read_as_safetensors_wrote_it(dtype):
    values = np.arange(6).astype(dtype).reshape(2, 3)

    (tensor,) = read(safetensors.numpy.save({"a.b": values})).values()

    assert tensor.shape == (2, 3)
    assert list(tensor.values()) == values.ravel().tolist()


FLOATS = arrays.arrays(np.float32, 7, elements=st.floats(-100, 100, width=32))


@given(FLOATS, FLOATS)
def test_the_difference_is_that_of_the_parity_reports(old, new):
    one, other = old.astype(np.float64), new.astype(np.float64)

    far = difference(old.tolist(), new.tolist())

    assert far == pytest.approx((np.abs(other - one) / (1 + np.abs(one))).max())


@pytest.mark.parametrize(
    ("old", "new", "far"),
    [
        ([math.nan], [math.nan], 0),
        ([-math.inf], [-math.inf], 0),
        ([0.0], [math.nan], math.inf),
        ([math.nan], [0.0], math.inf),
        ([-math.inf], [-80.0], math.inf),
    ],
)
def test_a_number_that_becomes_none_is_infinitely_far(old, new, far):
    assert difference(old, new) == far


def test_equal_vectors_have_no_difference(vectors):
    found = compare(vectors(), vectors(), DIGITS, DIGITS)

    assert (found.compared, found.other, found.largest, found.flips) == (3, 0, 0.0, 0)


def test_the_largest_difference_is_named_with_its_case_and_flips_are_counted(vectors):
    logs = np.full((2, 10), -5.0)
    logs[0, 1], logs[1, 7] = -0.5, -0.25  # the second image of "one" is a 7 now

    found = compare(vectors(), vectors(one=logs), DIGITS, DIGITS)

    assert found.worst == "one"
    assert found.largest == pytest.approx(4.5 / 1.5)
    assert found.flips == 1
    assert found.lost == 0


def test_answers_to_other_inputs_are_counted_and_not_compared(vectors):
    found = compare(vectors(), vectors(seed=1), DIGITS, DIGITS)

    assert (found.compared, found.other, found.problem) == (0, 3, "no input in common")


def test_nan_is_counted_and_hides_no_other_difference(vectors):
    logs = np.full((2, 10), np.nan)

    found = compare(vectors(), vectors(one=logs, two=np.full((2, 10), -5)), DIGITS, DIGITS)

    assert (found.lost, found.worst) == (1, "two")
    assert found.largest == pytest.approx(4.5 / 1.5)


def test_answers_that_are_numbers_no_more_are_said(vectors):
    broken = np.full((2, 10), np.nan)

    found = compare(vectors(), vectors(zero=broken, one=broken, two=broken), DIGITS, DIGITS)

    assert (found.compared, found.lost, found.largest) == (3, 3, None)


def crafted(header: object, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


ROW = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 2**63) + b"{}",
        crafted([]),
        crafted({"a": 1}),
        crafted({"a": {}}),
        crafted({"a": ROW}),
        crafted({"a": {**ROW, "shape": [2**40]}}, bytes(8)),
        crafted({"a": {**ROW, "shape": [-1, -2]}}, bytes(8)),
        crafted({"a": {**ROW, "data_offsets": [8, 0]}}, bytes(8)),
        crafted({"a": {**ROW, "data_offsets": [0]}}, bytes(8)),
        crafted({"a": {**ROW, "dtype": 1}}, bytes(8)),
        struct.pack("<Q", 200_000) + b"[" * 200_000,
    ],
    ids=range(13),
)
def test_what_is_no_safetensors_file_is_refused_and_said(data, vectors):
    with pytest.raises(ContractError, match="no safetensors"):
        read(data)

    assert "no safetensors" in compare(data, vectors(), DIGITS, DIGITS).problem
    assert "no safetensors" in compare(vectors(), data, DIGITS, DIGITS).problem


@given(st.data())
def test_no_damage_makes_the_comparison_fall(data):
    sound = safetensors.numpy.save({"a.image": np.zeros((1, 1, 2, 2), np.uint8)})
    place = data.draw(st.integers(0, len(sound) - 1))
    damaged = sound[:place] + bytes([data.draw(st.integers(0, 255))]) + sound[place + 1 :]

    compare(damaged, sound, DIGITS, DIGITS)
