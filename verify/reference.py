"""What is right: the answers of a spec's own network with the weights of a crate."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from torchcrate.model import eager, weights
from torchcrate.model.contract import Contract
from torchcrate.model.eager import dtypes
from torchcrate.model.samples import Pixels
from torchcrate.model.spec import Answers, Cases, ModelSpec
from torchcrate.model.tolerance import tolerances


@dataclass(frozen=True)
class Reference:
    """What is right: eager's answers, and how far others may be from them.

    Attributes:
        module: The network, in eval mode.
        contract: Its inputs and outputs.
        limits: The largest difference for each runtime.
    """

    module: nn.Module
    contract: Contract
    limits: Mapping[str, float]

    @classmethod
    def of(cls, checkpoint: Path, contract: Contract, spec: ModelSpec) -> "Reference":
        """Build the network of `spec` with the weights of a crate.

        Raises:
            ContractError: If they do not fit it.
        """
        module = weights.load(spec, checkpoint).module
        return cls(module, contract, tolerances(spec, dtypes(module, contract)))

    def answers(self, cases: Cases) -> dict[str, Answers]:
        """Return eager's answer to each case, by case and output."""
        return eager.answers(self.module, self.contract, cases)

    def reading(self, images: Mapping[Path, Pixels]) -> dict[str, Answers]:
        """Return eager's answer to what is to be seen in each image file, by the file's name.

        Args:
            images: (1, C, H, W) uint8 of each file; see `pictures.shown`.
        """
        image = self.contract.image
        cases = {path.name: {image.name: seen} for path, seen in images.items()} if image else {}
        return self.answers(cases)
