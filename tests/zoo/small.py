"""How a small network is described for the zoo: one difficulty, and the verdict it must get."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torchcrate.model.spec import ModelSpec


@dataclass(frozen=True)
class Small:
    """One network and what must become of it.

    Attributes:
        build: The class.
        inputs: As `tensor` reads them.
        torchscript: "script" or "trace", or words of the reason why neither holds.
        onnx: "onnx", or words of the reason.
        refused: Words of the one error with which nothing at all is exported; "" if something is.
        sizes: Of free axes.
        outputs: Where the spec names them.
        more: Other fields of the spec.
    """

    build: type
    inputs: tuple[str, ...]
    torchscript: str = "script"
    onnx: str = "onnx"
    refused: str = ""
    sizes: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return what the test is called."""
        return self.build.__name__

    @property
    def spec(self) -> ModelSpec:
        """Return it as a user would describe it."""
        return ModelSpec(
            name=self.name.lower(),
            build=self.build,
            inputs=self.inputs,
            outputs=self.outputs,
            sizes=self.sizes,
            **self.more,
        )
