"""--selftest: golden vectors of any contract are judged alike in Python and C++."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from handmade import contract, script, tensor
from programs import BOTH, Ask

from torchcrate.errors import ParityError

RUNTIMES = ("eager", "torchscript", "libtorch")


@pytest.mark.parametrize("name", ["run_eager.py", "run_libtorch"])
@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (None, None, "passed: 2 vectors, worst 0.0e+00 at a, limit 1.0e-05"),
        ("scores", [[[1, 2.0001], [2, 4]]], "failed: 2 vectors, worst 3.3e-05 at a"),
        ("scores", [[[2, 1], [2, 4]]], "limit 1.0e-05, 1 labels flipped"),
        ("kept", [[True, False]], "worst 1.0e+00 at a"),
        ("total", 4, "worst 2.0e-01 at a"),
    ],
    ids=["sound", "a number", "a label", "a bool", "a whole number"],
)
def test_the_selftest_judges_every_output_and_labels_of_any_rank(
    ask: Ask, tagger: Path, tmp_path: Path, name: str, key: str | None, value: Any, said: str
) -> None:
    golden: dict[str, Any] = {
        "a.tokens": np.array([[1, 2]]),
        "a.scores": np.array([[[1, 2], [2, 4]]], np.float32),
        "a.kept": np.array([[True, True]]),
        "a.total": np.array(3),
        "b.tokens": np.zeros((0, 1), np.int64),
        "b.scores": np.zeros((0, 1, 2), np.float32),
        "b.kept": np.zeros((0, 1), np.bool_),
        "b.total": np.array(0),
    }
    if key:
        golden[f"a.{key}"] = np.array(value, golden[f"a.{key}"].dtype)
    crate = Path(shutil.copytree(tagger, tmp_path / "crate"))
    save(crate, golden, 1e-5)

    done = ask(name, crate, "--selftest")

    assert said in done.stdout + done.stderr
    assert done.returncode == (ParityError.exit_code if key else 0)


@pytest.mark.parametrize("name", BOTH)
def test_numbers_of_16_bits_and_infinities_are_compared_as_they_are(
    ask: Ask, tmp_path: Path, name: str
) -> None:
    sides = [tensor("x", "float16", ["n"])], [tensor("y", "float16", ["n"])]
    said = contract(*sides, sizes={"n": {"minimum": 0}})
    crate = script(tmp_path / "same", said, "def forward(self, x):\n return x")
    x = np.array([-np.inf, 60000, -60000, np.inf, 6e-8], np.float16)
    golden = {"x": x, "y": x.copy(), "empty.x": x[:0], "empty.y": x[:0]}

    def replay() -> str:
        save(crate, golden, 3)
        done = ask(name, crate, "--selftest")
        return done.stdout + done.stderr

    right = replay()
    golden["y"][2] = 60000  # whose difference is beyond 16 bits
    wrong = replay()
    golden["y"][3] = -np.inf
    worse = replay()

    assert right.startswith("selftest passed: 2 vectors, worst 0.0e+00")
    assert wrong.startswith("selftest passed: 2 vectors, worst 2.0e+00")
    assert worse.startswith("Error: selftest failed: 2 vectors, worst nan")


def save(crate: Path, golden: dict[str, Any], limit: float) -> None:
    """Write golden vectors, with the same limit for every runtime."""
    limits = json.dumps(dict.fromkeys(RUNTIMES, limit))
    safetensors.numpy.save_file(golden, crate / "golden.safetensors", {"limits": limits})
