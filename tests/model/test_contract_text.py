"""A tensor is described by one line of text, and `words` writes the line that `tensor` reads."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchcrate.errors import UsageError
from torchcrate.model.contract import DTYPES, Sizes, TensorSpec, tensor

names = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=9).filter(
    lambda word: not word[0].isdecimal()
)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 300)
meanings = st.text(min_size=1).map(str.strip).filter(lambda text: text.isprintable() and text)
tensors = st.builds(
    TensorSpec,
    names,
    st.sampled_from(DTYPES),
    st.lists(names | st.integers(1, 2**40), max_size=5).map(tuple),
    numbers,
    numbers,
    st.just("") | meanings | st.sampled_from(["image", "in 0..1 as as in", "logits as told"]),
    st.booleans(),
)


@given(tensors)
def test_reading_undoes_writing(spec: TensorSpec) -> None:
    assert tensor(spec.words()) == spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("scale:float32[]", TensorSpec("scale", "float32", ())),
        (" x : int8 [ a , 3 ] ", TensorSpec("x", "int8", ("a", 3))),
        ("mask?:bool[batch]", TensorSpec("mask", "bool", ("batch",), optional=True)),
        ("x:uint8[n] in 0..255", TensorSpec("x", "uint8", ("n",), 0, 255)),
        ("x:float64[n] in -1.5e-7 .. 2", TensorSpec("x", "float64", ("n",), -1.5e-7, 2)),
        ("x:float32[n] in ..0 as log", TensorSpec("x", "float32", ("n",), None, 0, "log")),
        ("x:float32[n] as two  words", TensorSpec("x", "float32", ("n",), meaning="two  words")),
        ("x:float32[n,n]", TensorSpec("x", "float32", ("n", "n"))),
    ],
)
def test_what_each_part_means(text: str, spec: TensorSpec) -> None:
    assert tensor(text) == spec


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no tensor: write NAME:DTYPE[AXIS,...]"),
        ("image", "is no tensor"),
        ("x:float32", "is no tensor"),
        ("x:float32[n", "is no tensor"),
        ("x:float32[n]]", "is no tensor"),
        ("x:float32[n] within 0..1", "is no tensor"),
        ("x:float32[n] in", "is no tensor"),
        ("x:float32[n] as", "is no tensor"),
        ("x:float32[n] as a\nb", "is no tensor"),
        ("x:float32[\0]", "is no tensor"),
        ("größe:float32[n]", "is no tensor"),
        ("x:float32[٣]", "is no tensor"),
        ("3x:float32[n]", "'3x' is no name of a tensor"),
        ("x:bfloat16[n]", "x cannot be bfloat16, it is one of bool, uint8"),
        ("x:complex64[n]", "cast inside the network"),
        ("x:Float32[n]", "x cannot be Float32"),
        ("x:float32[0]", "'0' in 'x:float32[0]' is neither a size nor the name"),
        ("x:float32[n,,3]", "'' in"),
        ("x:float32[,]", "'' in"),
        ("x:float32[n m]", "'n m' in"),
        ("x:float32[3n]", "'3n' in"),
        (f"x:float32[{'9' * 5000}]", "is neither a size"),
        ("x:float32[n] in 0-1", "is no range of numbers: write LOW..HIGH"),
        ("x:float32[n] in 0...5", "is no range of numbers"),
        ("x:float32[n] in nan..1", "is no range of numbers"),
        ("x:float32[n] in 0..inf", "is no range of numbers"),
        ("x:float32[n] in low..high", "is no range of numbers"),
    ],
)
def test_what_is_no_tensor_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        tensor(text)

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.text() | st.text("x:float32[batch,] in0.9as-?e\n "))
@settings(max_examples=300)
def test_any_text_is_a_tensor_or_refused(text: str) -> None:
    try:
        spec = tensor(text)
    except UsageError:
        return
    assert tensor(spec.words()) == spec


def test_a_long_hostile_text_takes_no_time() -> None:
    for text in ("x:float32[" + "a," * 50_000, "x:float32[n] in " + " " * 50_000 + "x"):
        with pytest.raises(UsageError):
            tensor(text)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("1..512", Sizes(1, 512)),
        ("0..", Sizes(0)),
        ("..64", Sizes(1, 64)),
        ("..", Sizes()),
        (" 2 .. 3 ", Sizes(2, 3)),
    ],
)
def test_sizes_are_read(text: str, sizes: Sizes) -> None:
    assert Sizes.parse(text) == sizes
    assert Sizes.parse(sizes.words()) == sizes


@pytest.mark.parametrize(
    "text", ["", "3", "1-3", "-1..3", "1...3", "a..b", "1..٣", "1.." + "9" * 5000]
)
def test_what_is_no_range_of_sizes_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no range of sizes: write LOW..HIGH, say 1..512"):
        Sizes.parse(text)


@pytest.mark.parametrize(
    ("sizes", "size", "fits"),
    [
        (Sizes(), 0, False),
        (Sizes(), 1, True),
        (Sizes(0), 0, True),
        (Sizes(2, 4), 1, False),
        (Sizes(2, 4), 4, True),
        (Sizes(2, 4), 5, False),
        (Sizes(), 10**12, True),
    ],
)
def test_sizes_hold_their_ends(sizes: Sizes, size: int, fits: bool) -> None:
    assert sizes.hold(size) is fits
