"""Crates whose golden vectors can be read, small enough to be written by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

IMAGES = {"zero": 0, "one": 100, "two": 200}


@pytest.fixture
def vectors() -> Callable[..., bytes]:
    """Make golden.safetensors of three cases; `answers` replaces what one of them says."""

    def made(seed: int = 0, **answers: Any) -> bytes:
        tensors = {}
        for place, (case, grey) in enumerate(IMAGES.items()):
            logs = np.full((2, 10), -5, np.float32)
            logs[:, place] = -0.5
            tensors[f"{case}.image"] = np.full((2, 1, 4, 4), grey + seed, np.uint8)
            tensors[f"{case}.log_probs"] = np.asarray(answers.get(case, logs), np.float32)
        return safetensors.numpy.save(tensors, {"limits": "{}"})

    return made


@pytest.fixture
def golden_crate(
    make_crate: Callable[..., Path],
    alter: Callable[..., Path],
    reseal: Callable[[Path, str], object],
    vectors: Callable[..., bytes],
) -> Callable[..., Path]:
    """Make sealed crates with golden vectors; `stated` goes into the manifest."""

    def made(
        version: str = "1.0.0",
        *,
        golden: bytes | None = None,
        changed: tuple[str, ...] = (),
        **stated: Any,
    ) -> Path:
        crate = make_crate(version, changed=changed)
        (crate / "golden.safetensors").write_bytes(vectors() if golden is None else golden)
        reseal(crate, version)
        return alter(crate, **stated) if stated else crate

    return made
