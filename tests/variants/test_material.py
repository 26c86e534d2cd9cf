"""What variants are calibrated on and measured with."""

from dataclasses import replace

import numpy as np

from torchcrate.model.contract import Contract, tensor
from torchcrate.model.spec import ModelSpec
from torchcrate.variants.optimise import Material

SPEC = ModelSpec(
    name="net",
    build="torch.nn:Identity",
    inputs=("x:float32[batch,3]",),
    outputs=("y:float32[batch,3]",),
)
CONTRACT = Contract(tuple(map(tensor, SPEC.inputs)), tuple(map(tensor, SPEC.outputs)), ())


def largest(cases: dict[str, dict[str, np.ndarray]]) -> float:
    return max(float(np.abs(case["x"]).max(initial=0)) for case in cases.values())


def test_no_variant_is_made_measured_or_limited_by_inputs_of_some_tens() -> None:
    """They are there to saturate a network, and 8 bits have no room for both scales."""
    material = Material.of(SPEC, CONTRACT, None)

    assert material.calibration == "made-up inputs"
    parts = (material.calibrating, material.samples, material.others)
    assert max(map(largest, parts)) < 20


def test_samples_of_the_spec_are_measured_on_whatever_their_scale() -> None:
    rows = {str(i): {"x": np.full((1, 3), 10.0**i, np.float32)} for i in range(4)}

    material = Material.of(replace(SPEC, samples=lambda: rows), CONTRACT, None)

    assert material.calibration == "samples"
    assert {*material.calibrating, *material.samples} == set(rows)
    assert not {*material.calibrating} & {*material.samples}
