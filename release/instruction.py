"""INSTRUCTION.md: how to get and run one version, from its content alone."""

import json
import re
from importlib import metadata, resources
from string import Template
from typing import Any

from torchcrate.errors import ContractError
from torchcrate.model.contract import Contract, TensorSpec
from torchcrate.model.spec import ModelSpec
from torchcrate.release.manifest import Manifest

NAME = "INSTRUCTION.md"
_PART = re.compile(r"^\[(\w+)\]\n(.*?)^\[/\1\]\n", re.M | re.S)  # what not every crate has


def render(draft: Manifest, spec: ModelSpec) -> bytes:
    """Return the instructions for a crate with this name, version, contract and content."""
    template = resources.files("torchcrate.release").joinpath("instruction.md").read_text("utf-8")
    image = draft.contract.image is not None
    parts = {*draft.formats, *(["image"] if image else [])}
    template = _PART.sub(lambda part: part[2] if part[1] in parts else "", template)
    labels = draft.contract.labels
    text = Template(template).substitute(
        name=draft.name,
        version=draft.version,
        program=spec.program,
        libtorch=draft.minimum["libtorch"],
        before="" if image else f"echo '{_line_of_json(draft.contract)}' | ",
        ask="--image picture.png" if image else "--json",
        asked="--image picture.png --json" if image else "--json",
        contract="\n".join(
            [f"- in: {_line(given)}" for given in draft.contract.inputs]
            + [f"- out: {_line(answer)}" for answer in draft.contract.outputs]
            + [f"- {axis}: {size.words()} long" for axis, size in draft.contract.sizes.items()]
            + ([f"- labels: {', '.join(labels)}"] if labels else [])
        ),
        files="\n".join(f"- `{f.name}`: {f.role}" for f in draft.files if f.kind == "content"),
    )
    return text.encode()


def _line_of_json(contract: Contract) -> str:
    """Return the smallest inputs of a contract as one line of JSON."""
    return json.dumps(
        {
            given.name: _filled(given, [_least(axis, contract) for axis in given.axes])
            for given in contract.inputs
            if not given.optional
        }
    )


def _least(axis: int | str, contract: Contract) -> int:
    return axis if isinstance(axis, int) else max(1, contract.sizes_of(axis).minimum)


def _filled(given: TensorSpec, shape: list[int]) -> Any:
    if shape:
        return [_filled(given, shape[1:])] * shape[0]
    if given.dtype == "bool":
        return True
    value = given.minimum if given.minimum is not None else min(0.0, given.maximum or 0.0)
    return value if given.dtype.startswith("float") else int(value)


def licence() -> bytes:
    """Return the licence of torchcrate, which covers the programs in a crate.

    Raises:
        ContractError: If the installation lost it.
    """
    # A build leaves torchcrate.egg-info in its folder, which is one more and has no licence.
    found = metadata.distributions(name="torchcrate")
    text = next(filter(None, (each.read_text("licenses/LICENSE") for each in found)), None)
    if text is None:
        raise ContractError("this installation of torchcrate lacks its LICENSE: install it again")
    return text.encode()


def _line(tensor: TensorSpec) -> str:
    axes = ", ".join(map(str, tensor.axes))
    low = "" if tensor.minimum is None else f" from {tensor.minimum:g}"
    high = "" if tensor.maximum is None else f" to {tensor.maximum:g}"
    words = [tensor.meaning, f"{low}{high}".strip(), "may be absent" if tensor.optional else ""]
    return ", ".join([f"`{tensor.name}: {tensor.dtype}[{axes}]`", *filter(None, words)])
