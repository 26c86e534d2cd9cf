"""What a network holds is looked at without asking it: weights, names, modes."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from torchcrate.export.doctor import state


class Sound(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("mask", torch.full((2,), -torch.inf))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(4, 4), nn.Linear(4, 4)
        self.head.weight = self.embed.weight


class Loose(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(2, 2)]


class Unkept(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("noise", torch.randn(3), persistent=False)


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.full((4,), 0.5)


class Unset(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.full((4,), float("nan"))


class Stubborn(nn.Dropout):
    def train(self, mode: bool = True) -> "Stubborn":
        super().train(True)
        return self


def test_a_sound_network_passes_every_check_of_its_state() -> None:
    network = Sound().eval()

    found = [
        state.weights(network),
        state.shared(network),
        state.lost(network, Sound),
        state.mode(network),
    ]

    assert [check.state for check in found] == ["ok"] * 4
    assert found[0].what.endswith(" all finite but for infinities in mask, as masks have them")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_named(value: float) -> None:
    network = Sound()
    with torch.no_grad():
        network.first.weight[1, 2] = value

    found = state.weights(network)

    assert found.state == "fault"
    assert found.what.startswith("first.weight holds NaN")


def test_a_buffer_that_holds_nan_is_named() -> None:
    network = Sound()
    network.mask[1] = float("nan")

    found = state.weights(network)

    assert (found.state, found.what) == ("fault", "mask holds NaN")


def test_tied_weights_are_named_with_both_names() -> None:
    found = state.shared(Tied())

    assert found.state == "note"
    assert "embed.weight and head.weight are one tensor" in found.what


@pytest.mark.parametrize(
    ("build", "name"), [(Loose, "layers[0].weight"), (Unkept, "noise")], ids=str
)
def test_what_a_state_dict_loses_is_a_fault(build: Callable[[], nn.Module], name: str) -> None:
    found = state.lost(build(), build)

    assert found.state == "fault"
    assert name in found.what
    assert "test_state.py" in found.where


@pytest.mark.parametrize("build", [Constant, Unset])
def test_a_constant_that_is_no_buffer_is_but_noted(build: Callable[[], nn.Module]) -> None:
    found = state.lost(build(), build)

    assert found.state == "note"
    assert found.what.startswith("mean: ")


def test_a_part_that_stays_in_train_mode_is_named_with_its_line() -> None:
    found = state.mode(nn.Sequential(nn.Linear(2, 2), Stubborn()).eval())

    assert found.state == "fault"
    assert found.what.startswith("1 is in train mode")
    assert "1 (Stubborn) at" in found.where
    assert "test_state.py" in found.where


def test_a_norm_that_reckons_with_the_batch_is_noted() -> None:
    norm = nn.BatchNorm1d(4, track_running_stats=False)

    found = state.mode(nn.Sequential(norm).eval())

    assert found.state == "note"
    assert "0 takes mean and deviation of the batch" in found.what
