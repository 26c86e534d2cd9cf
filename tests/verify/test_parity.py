"""The comparison is pure, measures what it says, and never lets NaN or a flip pass."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from torchcrate.errors import ParityError
from torchcrate.model.contract import Contract, tensor
from torchcrate.model.digits import MNIST
from torchcrate.model.tolerance import difference
from torchcrate.verify import parity as judged
from torchcrate.verify.parity import allowed
from torchcrate.verify.report import Parity

FLOATS = st.floats(-100, 0, width=32)
SCORES = tensor("scores:float32[batch,10]")
ANY = Contract((tensor("x:float32[batch]"),), (SCORES,), ("some", "labels"))
ROWS = arrays.arrays(np.float32, (3, 4), elements=FLOATS)


@pytest.fixture
def want() -> dict[str, np.ndarray]:
    rows = np.random.default_rng(0).normal(-5, 3, (4, 10)).astype(np.float32)
    return {"first": rows[:2], "second": rows[2:]}


def compare(
    runtime: str,
    way: str,
    limit: float,
    want: dict[str, np.ndarray],
    got: dict[str, np.ndarray],
) -> tuple[Parity, tuple[str, ...]]:
    """Compare answers that have one output, the labelled one."""
    named = ({case: {"scores": rows} for case, rows in side.items()} for side in (want, got))
    return judged.compare(runtime, way, limit, *named, ANY)


def copied(answers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {case: rows.copy() for case, rows in answers.items()}


def test_equal_answers_pass_at_limit_zero(want: dict[str, np.ndarray]) -> None:
    parity, failures = compare("onnx", "tensors", 0.0, want, copied(want))

    assert parity.passed
    assert not failures
    assert parity.maximum == parity.needed == 0.0
    assert (parity.inputs, parity.images) == (2, 4)


def test_one_wrong_logit_is_caught_and_named(want: dict[str, np.ndarray]) -> None:
    got = copied(want)
    got["second"][1, 3] += 1e-4

    parity, failures = compare("onnx", "tensors", 2e-6, want, got)

    assert not parity.passed
    assert parity.worst == "second"
    assert failures[0].startswith("onnx at second: difference")


def test_the_needed_limit_would_pass_and_nothing_smaller(want: dict[str, np.ndarray]) -> None:
    got = copied(want)
    got["first"] += np.float32(1e-5)
    needed = compare("onnx", "tensors", 0.0, want, got)[0].needed
    assert needed is not None

    assert compare("onnx", "tensors", needed, want, got)[0].passed
    assert not compare("onnx", "tensors", np.nextafter(needed, 0), want, got)[0].passed


@given(ROWS, ROWS, st.floats(0, 1))
def test_needed_is_the_smallest_limit_that_passes(
    want: np.ndarray, got: np.ndarray, limit: float
) -> None:
    """Whatever differs, labels included, and whatever limit was asked with."""
    cases = {"a": want[:1], "b": want[1:]}, {"a": got[:1], "b": got[1:]}

    parity = compare("onnx", "tensors", limit, *cases)[0]

    assert parity.needed is not None
    assert parity.passed == (limit >= parity.needed)
    assert compare("onnx", "tensors", parity.needed, *cases)[0].passed
    if parity.needed:
        assert not compare("onnx", "tensors", np.nextafter(parity.needed, 0), *cases)[0].passed


def test_the_worst_case_is_the_first_that_is_not_a_number(want: dict[str, np.ndarray]) -> None:
    want |= {"third": want["first"]}
    got = copied(want)
    got["first"] += np.float32(1e-3)
    got["second"][0, 0] = np.nan
    got["third"] += np.float32(1e-2)

    assert compare("onnx", "tensors", 1.0, want, got)[0].worst == "second"


@pytest.mark.parametrize(
    ("bad", "side"),
    [
        *((bad, side) for bad in (np.nan, np.inf, -np.inf) for side in ("want", "got")),
        (np.nan, "both"),
    ],
)
def test_what_is_not_finite_never_passes(
    want: dict[str, np.ndarray], bad: float, side: str
) -> None:
    got = copied(want)
    if side != "got":
        want["first"][0, 0] = bad
    if side != "want":
        got["first"][0, 0] = bad

    parity, failures = compare("onnx", "tensors", 1e9, want, got)

    assert not parity.passed
    assert parity.maximum is parity.needed is None
    assert failures


def test_a_flip_beyond_the_limit_fails_however_small_the_difference() -> None:
    want = np.array([[-0.70, -0.69]], np.float32)
    got = np.array([[-0.69, -0.70]], np.float32)

    parity, failures = compare("onnx", "tensors", 8e-3, {"a": want}, {"a": got})

    assert parity.maximum is not None
    assert parity.maximum < parity.limit
    assert parity.flips == 1
    assert not parity.passed
    assert parity.needed == pytest.approx(0.01)
    assert failures == ("onnx at a: 1 labels flipped",)


def test_a_flip_within_the_limit_is_a_tie_and_passes() -> None:
    want = np.array([[-0.7000, -0.7001]], np.float32)
    got = np.array([[-0.7001, -0.7000]], np.float32)

    assert compare("onnx", "tensors", 1e-3, {"a": want}, {"a": got})[0].passed


def test_a_missing_case_and_a_wrong_shape_fail(want: dict[str, np.ndarray]) -> None:
    got = {"first": want["first"][:, :9]}

    _, failures = compare("onnx", "tensors", 1.0, want, got)

    assert failures == (
        "onnx at first: answers have shape (2, 9), not (2, 10)",
        "onnx at second: no answer",
    )


def test_shapes_that_differ_leave_nothing_to_measure() -> None:
    with pytest.raises(ParityError, match="shape"):
        difference(np.zeros((1, 10), np.float32), np.zeros((2, 10), np.float32))


@given(arrays.arrays(np.float32, (3, 10), elements=FLOATS), st.floats(0, 1, width=32))
def test_the_difference_is_relative_to_one_plus_the_size(rows: np.ndarray, off: float) -> None:
    got = rows + np.float32(off)

    measured = difference(got, rows)

    wide = rows.astype(float)
    assert np.allclose(measured, np.abs(got.astype(float) - wide) / (1 + np.abs(wide)))
    assert (difference(rows, rows) == 0).all()


def test_infinities_of_one_sign_are_the_same_and_nothing_else_is_like_one() -> None:
    inf, nan = np.inf, np.nan

    found = difference(
        np.array([inf, -inf, inf, inf, nan, 1]), np.array([inf, -inf, -inf, 1, nan, inf])
    )

    assert found[:2].tolist() == [0, 0]
    assert np.isnan(found[2:]).all()


def test_eagers_own_kernels_may_not_differ_at_all_and_onnx_by_its_limit() -> None:
    exact = {
        runtime: allowed(runtime, "tensors", MNIST.tolerances, MNIST.exact)
        for runtime in MNIST.tolerances
    }

    assert exact == {"eager": 0.0, "torchscript": 0.0, "libtorch": 0.0, "onnx": 2e-5}
    assert allowed("libtorch", "images", MNIST.tolerances, MNIST.exact) == 5e-6
