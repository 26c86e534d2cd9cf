"""A contract that changed is seen, breaks are called breaks, and it takes a major number."""

from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchcrate.errors import ContractError
from torchcrate.model.contract import Sizes, TensorSpec, tensor
from torchcrate.model.digits import DIGITS
from torchcrate.release.compatibility import changes
from torchcrate.release.manifest import MANIFEST
from torchcrate.release.publish import publish
from torchcrate.release.yank import yank

IMAGE, LOGS = DIGITS.inputs[0], DIGITS.outputs[0]
MASK = TensorSpec("mask", "uint8", ("batch", 1), None, None, "mask")
LETTERS = tuple("abcdefghij")


def inputs(*tensors, **image):
    return replace(DIGITS, inputs=(replace(IMAGE, **image), *tensors))


def outputs(*tensors, **logs):
    return replace(DIGITS, outputs=(replace(LOGS, **logs), *tensors))


BREAKS = {
    "input image is now called picture": inputs(name="picture"),
    "output log_probs is now called scores": outputs(name="scores"),
    "input mask is new": inputs(MASK),
    "output log_probs is gone": replace(DIGITS, outputs=(MASK,)),
    "input image has dtype float32, was uint8": inputs(dtype="float32"),
    "output log_probs has dtype float64, was float32": outputs(dtype="float64"),
    "input image has axes (batch, 1, 28, 28), was (batch, 1, height, width)": inputs(
        axes=("batch", 1, 28, 28)
    ),
    "input image has axes (batch, 3, height, width), was (batch, 1, height, width)": inputs(
        axes=("batch", 3, "height", "width")
    ),
    "input image has axes (1, height, width), was (batch, 1, height, width)": inputs(
        axes=(1, "height", "width")
    ),
    "output log_probs has axes (batch, n), was (batch, 10)": outputs(axes=("batch", "n")),
    "input image holds 0 to 1, was 0 to 255": inputs(maximum=1.0),
    "input image holds 1 to 255, was 0 to 255": inputs(minimum=1.0),
    "output log_probs holds any value, was any to 0": outputs(maximum=None),
    "output log_probs means 'probabilities', was 'log-probabilities'": outputs(
        meaning="probabilities"
    ),
    "there are 9 labels, were 10": replace(DIGITS, labels=DIGITS.labels[1:]),
    "label 0 is 'a', was '0'": replace(DIGITS, labels=LETTERS),
    "batch may be 1..64 long, was 1..": replace(DIGITS, sizes={"batch": Sizes(1, 64)}),
    "batch may be 2.. long, was 1..": replace(DIGITS, sizes={"batch": Sizes(2)}),
    "the labels come in another order": replace(DIGITS, labels=DIGITS.labels[::-1]),
    "the outputs come in another order: mask, log_probs": replace(DIGITS, outputs=(MASK, LOGS)),
}
WIDER = {
    "batch may be 0.. long, was 1..": replace(DIGITS, sizes={"batch": Sizes(0)}),
    "input image may be left out now": inputs(optional=True),
    "input mask is new": inputs(replace(MASK, optional=True)),
    "output mask is new": outputs(MASK),
    "input image has axes (batch, channels, height, width), was (batch, 1, height, width)": inputs(
        axes=("batch", "channels", "height", "width")
    ),
    "input image has axes (n, 1, height, width), was (batch, 1, height, width)": inputs(
        axes=("n", 1, "height", "width")
    ),
    "output log_probs has axes (1, 10), was (batch, 10)": outputs(axes=(1, 10)),
    "input image holds -1 to any, was 0 to 255": inputs(minimum=-1.0, maximum=None),
    "output log_probs holds -100 to 0, was any to 0": outputs(minimum=-100.0),
}


@pytest.mark.parametrize(("words", "new"), BREAKS.items(), ids=BREAKS)
def test_a_change_that_fails_a_caller_is_called_a_break(words, new):
    found = {change.what: change.breaks for change in changes(DIGITS, new)}

    assert found[words]


@pytest.mark.parametrize(("words", "new"), WIDER.items(), ids=WIDER)
def test_a_change_that_fails_no_caller_is_a_change(words, new):
    (change,) = changes(DIGITS, new)

    assert change.words() == f"change: {words}"


@pytest.mark.parametrize(
    ("old", "new", "breaks"),
    [
        (("x:float32[a,b]",), ("x:float32[a,a]",), True),
        (("x:float32[a,a]",), ("x:float32[a,b]",), False),
        (("x:float32[2,2]",), ("x:float32[a,a]",), False),
        (("x:float32[2,b]",), ("x:float32[a,a]",), True),
        (("x:float32[n]", "y:float32[k]"), ("x:float32[n]", "y:float32[n]"), True),
        (("x:float32[n]", "y:float32[n]"), ("x:float32[m]", "y:float32[m]"), False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_sizes_that_must_be_alike_now_break_who_gives_them(old, new, breaks):
    def contract(texts, side):
        return replace(DIGITS, sizes={}, **{side: tuple(map(tensor, texts))})

    def broken(one, other, side):
        return any(each.breaks for each in changes(contract(one, side), contract(other, side)))

    assert broken(old, new, "inputs") == breaks
    assert broken(new, old, "outputs") == breaks  # who awaits them


def test_labels_where_there_were_none_break_nobody():
    (change,) = changes(replace(DIGITS, labels=()), DIGITS)

    assert change.words() == "change: labels are new, 10 of them"


def test_equal_contracts_have_no_changes():
    assert changes(DIGITS, replace(DIGITS)) == ()


TENSORS = st.builds(
    TensorSpec,
    name=st.sampled_from("abcd"),
    dtype=st.sampled_from(["uint8", "float32"]),
    axes=st.lists(st.sampled_from(["n", "m", 1, 2]), max_size=3).map(tuple),
    minimum=st.sampled_from([None, 0.0, 1.0]),
    maximum=st.sampled_from([None, 5.0, 6.0]),
    meaning=st.sampled_from(["image", "scores"]),
)
SOME = st.lists(TENSORS, max_size=3, unique_by=lambda tensor: tensor.name).map(tuple)
CONTRACTS = st.builds(
    type(DIGITS), SOME, SOME, st.lists(st.sampled_from("xyz"), max_size=3).map(tuple)
)


@given(CONTRACTS, CONTRACTS)
def test_two_contracts_differ_exactly_where_a_change_is_named(old, new):
    assert bool(changes(old, new)) == (old != new)


def test_hostile_words_of_a_contract_come_out_harmless():
    found = changes(DIGITS, inputs(meaning="\x1b[2J" + "x" * 9000))

    assert "\x1b" not in found[0].what
    assert len(found[0].what) <= 300


@pytest.mark.parametrize("new", [*BREAKS.values(), *WIDER.values()], ids=[*BREAKS, *WIDER])
def test_from_1_0_0_on_a_changed_contract_is_refused_by_name(make_crate, alter, tmp_path, new):
    from torchcrate.release.folder import FolderRegistry

    registry = FolderRegistry(tmp_path / "registry")
    publish(make_crate("1.0.0"), registry)

    with pytest.raises(ContractError) as caught:
        publish(alter(make_crate("1.1.0"), contract=new), registry)

    assert all(change.words() in str(caught.value) for change in changes(DIGITS, new))
    assert "take 2.0.0 for it" in str(caught.value)
    assert registry.versions("mnist-net") == ("1.0.0",)


@pytest.mark.parametrize(
    ("before", "version", "free"),
    [
        (["0.1.0"], "0.2.0", True),  # nothing is promised yet
        (["0.1.0"], "1.0.0", True),
        (["1.0.0"], "2.0.0", True),
        (["1.0.0"], "2.0.0-dev.1", True),
        (["1.0.0", "2.0.0-dev.1"], "2.0.0-dev.2", True),  # not out yet
        (["1.0.0-dev.1"], "1.0.0", True),
        (["1.0.0"], "1.0.1", False),
        (["1.0.0"], "1.1.0-dev.1", False),
        (["1.0.0", "2.0.0"], "1.0.1", False),
        (["1.2.0", "1.10.0"], "1.11.0", False),
    ],
)
def test_only_a_major_step_or_a_version_below_1_0_0_is_free(
    make_crate, alter, registry, before, version, free
):
    for earlier in before:
        publish(make_crate(earlier), registry)
    changed = alter(make_crate(version), contract=BREAKS["input mask is new"])

    if free:
        publish(changed, registry)
    else:
        with pytest.raises(ContractError, match="break: input mask is new"):
            publish(changed, registry)

    assert registry.published("mnist-net", version) == free


def test_nothing_is_sent_when_the_contract_is_refused(make_crate, alter, gitlab):
    publish(make_crate("1.0.0"), gitlab.registry())
    sent = gitlab.sent()

    with pytest.raises(ContractError):
        publish(alter(make_crate("1.1.0"), contract=inputs(name="picture")), gitlab.registry())

    assert gitlab.sent() == sent


def test_the_newest_release_that_stands_is_what_counts(make_crate, alter, registry):
    """One that is yanked binds nobody."""
    publish(make_crate("1.0.0"), registry)
    changed = BREAKS["input mask is new"]
    yank("mnist-net@1.0.0", "a wrong contract", registry, datetime.now(UTC))
    publish(alter(make_crate("1.0.1"), contract=changed), registry)

    publish(alter(make_crate("1.0.2"), contract=changed), registry)
    with pytest.raises(ContractError, match=r"is not that of 1\.0\.2"):
        publish(make_crate("1.0.3"), registry)


def test_a_damaged_release_is_passed_over(make_crate, alter, gitlab):
    publish(make_crate("1.0.0"), gitlab.registry())
    publish(make_crate("1.1.0"), gitlab.registry())
    url = gitlab.url("mnist-net", "1.1.0", MANIFEST)
    httpx.put(url, content=b"{}", headers={"PRIVATE-TOKEN": "glpat-developer"})

    with pytest.raises(ContractError, match=r"is not that of 1\.0\.0"):
        publish(alter(make_crate("1.2.0"), contract=inputs(MASK)), gitlab.registry())


def test_a_token_that_cannot_list_publishes_and_says_what_was_not_compared(make_crate, gitlab):
    said = []
    registry = gitlab.registry("gldt-write", "DEPLOY-TOKEN")

    publish(make_crate("1.0.0"), registry, on_notice=said.append)

    (line,) = said
    assert "cannot list" in line
    assert "was not compared" in line
    assert gitlab.visible().keys() == {"mnist-net@1.0.0"}


def test_publishing_into_a_folder_that_is_not_there_yet_says_nothing(make_crate, registry):
    said = []

    publish(make_crate("1.0.0"), registry, on_notice=said.append)

    assert said == []
