"""INSTRUCTION.md: how to get and run one version, from its content alone."""

from importlib import metadata, resources
from string import Template

from torchcrate.errors import ContractError
from torchcrate.model.contract import TensorSpec
from torchcrate.model.spec import Spec
from torchcrate.release.manifest import Manifest

NAME = "INSTRUCTION.md"


def render(draft: Manifest, spec: Spec) -> bytes:
    """Return the instructions for a crate with this name, version, contract and content."""
    template = resources.files("torchcrate.release").joinpath("instruction.md").read_text("utf-8")
    text = Template(template).substitute(
        name=draft.name,
        version=draft.version,
        program=spec.program,
        libtorch=draft.minimum["libtorch"],
        contract="\n".join(
            [f"- in: {_line(given)}" for given in draft.contract.inputs]
            + [f"- out: {_line(answer)}" for answer in draft.contract.outputs]
            + [f"- labels: {', '.join(draft.contract.labels)}"]
        ),
        files="\n".join(f"- `{f.name}`: {f.role}" for f in draft.files if f.kind == "content"),
    )
    return text.encode()


def licence() -> bytes:
    """Return the licence of torchcrate, which covers the programs in a crate.

    Raises:
        ContractError: If the installation lost it.
    """
    text = metadata.distribution("torchcrate").read_text("licenses/LICENSE")
    if text is None:
        raise ContractError("this installation of torchcrate lacks its LICENSE: install it again")
    return text.encode()


def _line(tensor: TensorSpec) -> str:
    axes = ", ".join(map(str, tensor.axes))
    low = "" if tensor.minimum is None else f" from {tensor.minimum:g}"
    high = "" if tensor.maximum is None else f" to {tensor.maximum:g}"
    return f"`{tensor.name}: {tensor.dtype}[{axes}]`, {tensor.meaning},{low}{high}".rstrip(",")
