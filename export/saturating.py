"""Inputs that saturate a network, for a look at how a format says what is computed there."""

import numpy as np
from torch import nn

from torchcrate.errors import ExportError
from torchcrate.model.cases import wide
from torchcrate.model.contract import Contract
from torchcrate.model.eager import answers
from torchcrate.model.spec import Answers, Cases, ModelSpec


def saturating(
    module: nn.Module, spec: ModelSpec, contract: Contract
) -> tuple[Cases, dict[str, Answers]]:
    """Return made-up inputs of some tens, and the answers of the network, by case.

    Those that it refuses, or answers with NaN or infinity, are left out: it is not for them.
    """
    cases = wide(spec, contract)
    try:
        want = answers(module, contract, cases)
    except ExportError:
        return {}, {}
    finite = {
        case: each
        for case, each in want.items()
        if all(np.isfinite(answer).all() for answer in each.values())
    }
    return {case: cases[case] for case in finite}, finite
