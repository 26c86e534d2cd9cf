"""Inputs made up from a contract are of several sizes, within its ranges, none seen by a trace."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchcrate.errors import ContractError
from torchcrate.model import cases
from torchcrate.model.contract import DTYPES, Contract, Sizes, TensorSpec, tensor
from torchcrate.model.spec import ModelSpec


def contract(*texts: str, **sizes: str) -> Contract:
    free = {axis: Sizes.parse(size) for axis, size in sizes.items()}
    return Contract(tuple(map(tensor, texts)), (), (), free)


def sizes_in(made: Contract, case: dict[str, Any]) -> dict[str, int]:
    return {
        axis: size
        for given in made.inputs
        if given.name in case
        for axis, size in zip(given.axes, case[given.name].shape, strict=True)
        if isinstance(axis, str)
    }


KINDS = {
    "picture": contract("image:uint8[batch,3,height,width] in 0..255 as image"),
    "tokens": contract(
        "tokens:int64[batch,time] in 0..99", "mask?:bool[batch,time]", time="1..512"
    ),
    "no batch": contract("x:float32[time,4]", "length:int64[]", time="4.."),
    "scalar": contract("x:float64[]"),
    "fixed": contract("x:float32[2,3]", "y:int8[4]"),
    "empty": contract("x:float32[batch,4] in -1..1", batch="0.."),
    "two sizes": contract("x:float16[n]", n="7..8"),
    "half open": contract("x:float32[n] in 0..", "y:float32[n] in ..0"),
}


@pytest.mark.parametrize("made", KINDS.values(), ids=KINDS)
def test_every_case_keeps_the_contract(made: Contract) -> None:
    for case in (*cases.generated(made).values(), cases.example(made)):
        made.check([case.get(given.name) for given in made.inputs])


@pytest.mark.parametrize("made", KINDS.values(), ids=KINDS)
def test_values_stay_within_their_range_and_are_not_all_one(made: Contract) -> None:
    for case in cases.generated(made).values():
        for spec in made.inputs:
            values = case.get(spec.name)
            if values is None or values.dtype == bool:
                continue
            low = -np.inf if spec.minimum is None else spec.minimum
            high = np.inf if spec.maximum is None else spec.maximum
            assert ((values >= low) & (values <= high)).all()
            assert values.size < 8 or len(np.unique(values)) > 1


@pytest.mark.parametrize("name", ["picture", "tokens", "no batch", "empty", "half open"])
def test_no_case_has_a_size_that_a_trace_saw(name: str) -> None:
    made = KINDS[name]
    seen = sizes_in(made, cases.example(made))

    found = [sizes_in(made, case) for case in cases.generated(made).values()]

    for axis in seen:
        assert seen[axis] not in {sizes[axis] for sizes in found}


@pytest.mark.parametrize("low", [0, 1, 2, 3, 8, 100])
@pytest.mark.parametrize("more", [1, 2, 5, 40, None])
@pytest.mark.parametrize("axes", ["batch,3", "3,batch"])
def test_whatever_sizes_are_allowed_one_is_asked_that_a_trace_did_not_see(
    low: int, more: int | None, axes: str
) -> None:
    high = None if more is None else low + more
    made = contract(f"x:float32[{axes}]", batch=f"{low}..{'' if high is None else high}")

    (seen,) = sizes_in(made, cases.example(made)).values()
    found = {sizes_in(made, case)["batch"] for case in cases.generated(made).values()}

    assert made.sizes_of("batch").hold(seen)
    assert found - {seen, 0} or low == 0
    if high is None or high - low > 6:
        assert seen not in found


@pytest.mark.parametrize("made", KINDS.values(), ids=KINDS)
def test_each_free_axis_has_several_sizes(made: Contract) -> None:
    found = [sizes_in(made, case) for case in cases.generated(made).values()]

    for axis in made.free:
        assert len({sizes[axis] for sizes in found}) >= 2


def test_the_longest_and_the_shortest_are_asked() -> None:
    times = {
        sizes_in(KINDS["tokens"], case)["time"]
        for case in cases.generated(KINDS["tokens"]).values()
    }

    assert {1, 512} <= times


def test_an_empty_batch_is_asked_where_it_may_be() -> None:
    empty = [case for case in cases.generated(KINDS["empty"]).values() if not case["x"].size]

    assert len(empty) == 1
    for made in (KINDS["picture"], KINDS["tokens"]):
        assert all(min(sizes_in(made, c).values()) for c in cases.generated(made).values())


def test_optional_inputs_are_there_in_some_and_absent_in_others() -> None:
    there = {"mask" in case for case in cases.generated(KINDS["tokens"]).values()}

    assert there == {True, False}
    assert "mask" in cases.example(KINDS["tokens"])


@pytest.mark.parametrize("made", KINDS.values(), ids=KINDS)
def test_the_same_cases_are_made_each_time(made: Contract) -> None:
    one, other = cases.generated(made), cases.generated(made)

    assert one.keys() == other.keys()
    for name in one:
        assert all(np.array_equal(one[name][key], other[name][key]) for key in one[name])


def test_cases_differ_in_more_than_their_size() -> None:
    made = KINDS["scalar"]

    values = {float(case["x"]) for case in cases.generated(made).values()}

    assert len(values) == 3


def test_floats_without_bounds_reach_some_tens_in_a_case_apart() -> None:
    free, bounded = (
        ModelSpec("net", "net:Net", (f"x:float32[batch,9]{words}",))
        for words in ("", " in -50..50")
    )

    (saturating,) = cases.wide(free, free.contract).values()
    assert abs(saturating["x"]).max() > 20
    usual = cases.samples(free, free.contract)
    assert max(abs(case["x"]).max() for case in usual.values()) < 20
    assert not cases.wide(bounded, bounded.contract)
    assert not cases.wide(replace(free, samples=lambda: usual), free.contract)


axes = st.lists(st.sampled_from(["batch", "time", "n"]) | st.integers(1, 5), max_size=4)
tensors = st.tuples(st.sampled_from(DTYPES), axes, st.sampled_from(["", "image", "tokens"]))
ranges = st.dictionaries(
    st.sampled_from(["batch", "time", "n"]),
    st.tuples(st.integers(0, 6), st.none() | st.integers(1, 9)).map(
        lambda ends: Sizes(ends[0], ends[1] and ends[0] + ends[1])
    ),
)


@given(st.lists(tensors, min_size=1, max_size=3), ranges)
@settings(max_examples=60, deadline=None)
def test_any_contract_has_cases_that_keep_it(
    texts: list[tuple[str, list[Any], str]], sizes: dict[str, Sizes]
) -> None:
    made = Contract(
        tuple(
            TensorSpec(f"x{number}", dtype, tuple(axes), meaning=meaning)
            for number, (dtype, axes, meaning) in enumerate(texts)
        ),
        (),
        sizes=sizes,
    )

    for case in (*cases.generated(made).values(), cases.example(made)):
        made.check([case[given.name] for given in made.inputs])


def test_a_specs_own_samples_go_before_made_up_ones() -> None:
    own = {"mine": {"x": np.zeros((1, 2), np.float32)}}
    spec = ModelSpec("net", "pkg:Net", ("x:float32[batch,2]",), samples=lambda: own)

    assert cases.samples(spec, spec.contract) == own
    assert cases.telling(spec, spec.contract) == own


def test_golden_ones_are_a_choice_of_their_own() -> None:
    golden = {"few": {"x": np.zeros((1, 2), np.float32)}}
    spec = ModelSpec("net", "pkg:Net", ("x:float32[batch,2]",), golden=lambda: golden)

    assert cases.telling(spec, spec.contract) == golden
    assert cases.samples(spec, spec.contract).keys() == cases.generated(spec.contract).keys()


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (lambda: {}, "samples of net gives no case: leave it away, or give one"),
        (lambda: [{}], "samples of net returns list, not a dict by case"),
        (lambda: {"a": np.zeros(2)}, "samples of net gives ndarray at 'a': give for the name of"),
        (lambda: {1: {}}, "samples of net gives dict at 1: give for the name of"),
        (lambda: {"a": {"y": np.zeros(2)}}, "samples of net gives y at a, which is none of its"),
        (lambda: 1 / 0, "samples of net fails at .*ZeroDivisionError: division by zero"),
    ],
)
def test_cases_of_the_spec_that_are_none_are_refused_in_one_line(gives: Any, said: str) -> None:
    spec = ModelSpec("net", "pkg:Net", ("x:float32[batch,2]",), samples=gives)

    with pytest.raises(ContractError, match=said):
        cases.samples(spec, spec.contract)
