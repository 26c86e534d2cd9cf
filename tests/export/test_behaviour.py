"""A network that is asked is afterwards as it was, NaN or not."""

import pytest
import torch
from torch import Tensor, nn

from torchcrate.errors import ExportError
from torchcrate.export.behaviour import changed_buffers, require_function, undisturbed
from torchcrate.model.contract import Contract, tensor

CONTRACT = Contract((tensor("x:float32[n]"),), (tensor("y:float32[n]"),))
CASE = {"x": torch.ones(2).numpy()}


class Spoiling(nn.Module):
    """Divides zero by zero in a buffer, at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        self.last.div_(0)
        return x + 1


def test_a_buffer_that_becomes_nan_has_changed_and_is_put_back() -> None:
    network = Spoiling()

    with undisturbed(network):
        assert changed_buffers(network, CONTRACT, CASE) == ["last"]
        assert network.last.isnan().all()
        assert changed_buffers(network, CONTRACT, CASE) == []  # NaN is like NaN

    assert network.last.tolist() == [0, 0]


class Coin(nn.Module):
    """Adds one or nothing: every other call is like the one before."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randint(2, (1,))


@pytest.mark.parametrize("seed", range(20))
def test_a_random_network_is_called_random_whatever_was_drawn_before(seed: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        before = torch.get_rng_state()

        with pytest.raises(ExportError, match=r"^the network is random at inference"):
            require_function(Coin(), CONTRACT, CASE, 1e-6)

        assert torch.equal(torch.get_rng_state(), before)
