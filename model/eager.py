"""What the network itself answers: the reference that every export is held against."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchcrate.errors import ContractError, ExportError
from torchcrate.model import targets
from torchcrate.model.calling import call
from torchcrate.model.contract import Contract, TensorSpec
from torchcrate.model.spec import Answers, Cases


def answers(module: nn.Module, contract: Contract, cases: Cases) -> dict[str, Answers]:
    """Return the network's answer to each case, by case.

    Raises:
        ExportError: If it fails, or answers with something that is no tensor.
        ContractError: If an input or an answer breaks the contract, or an input's value is out
            of its range: the programs that ship refuse it, too.
    """
    names = [given.name for given in contract.inputs]
    found: dict[str, Answers] = {}
    for case, inputs in cases.items():
        given = tensors(inputs, names)
        contract.check(given)
        for spec, value in zip(contract.inputs, given, strict=True):
            if value is not None and value.numel():
                _require_range(case, spec, value)
        try:
            with torch.inference_mode():
                answer = call(module, names, given)
        except Exception as error:  # the user's own code
            why = f"{targets.said(error)}{targets.where(error)}"
            raise ExportError(f"the network fails at {case}: {why}") from error
        contract.check(given, answer)
        found[case] = {
            spec.name: np.array(one.numpy())
            for spec, one in zip(contract.outputs, answer, strict=True)
        }
    return found


def _require_range(case: str, spec: TensorSpec, value: Tensor) -> None:
    """Refuse a tensor with a value out of the range of `spec`; none holds NaN."""
    low, high = value.min().item(), value.max().item()
    least, most = (_held(end, spec.dtype) for end in (spec.minimum, spec.maximum))
    enough, little = least is None or low >= least, most is None or high <= most
    if not (enough and little):
        found = high if enough else low
        raise ContractError(
            f"{spec.name} holds {found} at {case}, its range is {spec.range_words()}"
        )


def _held(end: float | None, dtype: str) -> float | None:
    """Return an end of a range as a dtype with fractions holds it."""
    kind = np.dtype(dtype)
    if end is None or kind.kind != "f":
        return end
    with np.errstate(over="ignore"):
        return float(kind.type(end))


def tensors(inputs: Mapping[str, Any], names: Sequence[str]) -> list[Tensor | None]:
    """Return the inputs of a case in order, None where one is absent."""
    return [_tensor(n, inputs[n]) if n in inputs else None for n in names]


def _tensor(name: str, value: Any) -> Tensor:
    try:
        return torch.from_numpy(np.array(value))
    except (TypeError, ValueError, RuntimeError) as error:  # text, objects, uneven rows, gradients
        raise ContractError(f"{name} is no array of numbers: {error}") from error


def dtypes(module: nn.Module, contract: Contract) -> set[str]:
    """Return the dtypes that a network computes with, those of its border among them."""
    state = {str(value.dtype).removeprefix("torch.") for value in module.state_dict().values()}
    return state | {spec.dtype for spec in (*contract.inputs, *contract.outputs)}
