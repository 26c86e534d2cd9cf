"""The size that a network has baked in is found by asking it."""

import torch
from torch import Tensor, nn

from torchcrate.export.doctor.sizes import sizes
from torchcrate.model.contract import Contract, tensor


class Square(nn.Module):
    """Takes pictures of 28 x 28."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(28 * 28, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


class Short(nn.Module):
    """Knows eight places."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.zeros(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.places[: x.shape[1]]


class Three(nn.Module):
    """Takes a batch of 3."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(3, 4) * 2


def test_sizes_that_a_network_takes_are_no_fault() -> None:
    found = sizes(nn.Linear(4, 2), Contract((tensor("x:float32[batch,4]"),), ()))

    assert found.state == "ok"
    assert "batch 1, 2, 3, 5, 7" in found.what


class Wordy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise TypeError("answer must be a string")


def test_an_error_of_the_network_is_told_whatever_its_words_are() -> None:
    found = sizes(Wordy(), Contract((tensor("x:float32[batch,4]"),), ()))

    assert found.state == "fault"
    assert "answer must be a string" in found.what


def test_a_fixed_picture_is_found_though_none_asked_has_its_size() -> None:
    found = sizes(Square(), Contract((tensor("x:float32[batch,1,height,width]"),), ()))

    assert found.state == "fault"
    assert "height and width of x works at 28 only" in found.what
    assert "x:float32[batch,1,28,28]" in found.do
    assert "test_sizes.py" in found.where


def test_a_baked_batch_is_named_with_the_size_at_which_it_works() -> None:
    found = sizes(Three(), Contract((tensor("x:float32[batch,4]"),), ()))

    assert found.state == "fault"
    assert found.what.startswith("batch of x works at 3 only")


def test_a_largest_size_is_told_as_a_range_for_the_spec() -> None:
    found = sizes(Short(), Contract((tensor("x:float32[batch,time,4]"),), ()))

    assert found.state == "fault"
    assert 'sizes={"time": "1..8"}' in found.do
