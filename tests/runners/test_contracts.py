"""Any contract: what it demands of values, of a model, and of what lies beside it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch
from handmade import ROOT, TAGGER, VECTOR, contract, eager, graph, script, tensor, with_programs
from onnx import TensorProto, helper
from programs import Ask

with pytest.MonkeyPatch.context() as patch:  # a sibling, as a crate has it
    patch.syspath_prepend(ROOT / "runners")
    from contract import parse_contract


@pytest.mark.parametrize(
    ("dtype", "minimum", "maximum", "words"),
    [
        ("uint8", 0.0, 255.0, None),
        ("int8", -128.0, None, None),
        ("int64", None, 2.0**63, None),
        ("bool", 0, 1, None),
        ("float32", None, None, None),
        ("uint8", 0.0, 254.0, "0 to 254"),
        ("int64", None, 9, "9 or less"),
        ("float32", 1e-5, None, "1e-05 or more"),
        ("float16", 0.1, 0.1, "0.1"),
        ("bool", 1, 1, "1"),
    ],
)
def test_only_a_range_that_the_dtype_does_not_ensure_is_held_against_values(
    dtype: str, minimum: float | None, maximum: float | None, words: str | None
) -> None:
    given = tensor("x", dtype, [], minimum=minimum, maximum=maximum, optional=True)
    found = parse_contract(contract([given], [tensor("y", "bool", [])]))

    bounds = found.inputs[0].bounds

    assert (bounds and bounds.words) == words
    assert found.check_inputs([None]) == {}
    end = minimum if maximum is None else maximum
    if end is not None and end < 2**63:
        assert found.check_inputs([np.array(end, dtype)]) == {}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("return x, x", "the model answers with 2 tensors, the contract has 1"),
        ("return 1", "the model answers with a Int, not a tensor"),
        ("return x.to(torch.bfloat16)", "the model answers with bfloat16, no contract has that"),
        ("return x.sum()", "y is float32(), the contract has float32(n)"),
        ("return x[1:]", "y has n 1, x has 2"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_told(
    ask: Ask, tmp_path: Path, source: str, said: str
) -> None:
    crate = script(tmp_path / "crate", VECTOR, f"def forward(self, x):\n {source}")
    safetensors.numpy.save_file({"x": np.zeros(2, np.float32)}, tmp_path / "in")

    done = ask("run_libtorch", crate, "--tensors", tmp_path / "in", "--out", tmp_path / "out")

    assert (done.returncode, done.stderr) == (3, f"Error: {said}\n")


def test_a_contract_nested_beyond_all_measure_is_refused(ask: Ask, tmp_path: Path) -> None:
    said = '{"inputs": ' + "[" * 200_000 + "]" * 200_000 + "}"
    crate = script(tmp_path / "crate", said, "def forward(self, x):\n return x + 1")

    done = ask("run_libtorch", crate, "--json")

    assert done.returncode == 6
    assert "nested too deeply" in done.stderr


def test_weights_beside_the_graph_are_found(ask: Ask, tmp_path: Path) -> None:
    said = contract([tensor("x", "float64", [])], [tensor("y", "float64", ["n"])])
    crate = graph(
        tmp_path / "crate",
        said,
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n"])],
        w=np.arange(300.0),
    )
    model = onnx.load(crate / "model.onnx")
    onnx.save(model, crate / "model.onnx", save_as_external_data=True, location="model.onnx.data")

    done = ask("run_onnx.py", crate, "--json", stdin='{"x": 0.5}\n')

    assert (crate / "model.onnx.data").stat().st_size >= 2400
    assert json.loads(done.stdout)["y"][:2] == [0.5, 1.5], done.stderr


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_are_taken_in_their_own_precision(
    ask: Ask, tmp_path: Path, dtype: torch.dtype
) -> None:
    state = {"scale": torch.tensor([1.0, 1 / 3], dtype=dtype)}
    crate = eager(tmp_path / "crate", TAGGER, "Tagger", state, words=2)

    done = ask("run_eager.py", crate, "--json", stdin='{"tokens": [[1]]}\n')

    kind = str(dtype).removeprefix("torch.")
    assert kind in done.stdout  # the network answers in that precision, the contract has float32
    assert done.returncode == 1


BREAKS: dict[str, Callable[[Path], object]] = {
    "toys.networks:Tagger needs toys.parts": lambda crate: (crate / "toys.parts.py").unlink(),
    "cannot build toys.networks:Tagger": lambda crate: (crate / "toys.networks.py").write_text(
        "Tagger = 3"
    ),
    "size mismatch for scale": lambda crate: eager(
        crate, TAGGER, "Tagger", {"scale": torch.ones(3)}, words=2
    ),
}


@pytest.mark.parametrize("said", BREAKS)
def test_a_network_that_cannot_be_built_is_one_line(
    ask: Ask, tagger: Path, tmp_path: Path, said: str
) -> None:
    crate = Path(shutil.copytree(tagger, tmp_path / "crate"))
    BREAKS[said](crate)

    done = ask("run_eager.py", crate, "--json")

    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == 6


@pytest.mark.parametrize("name", ["run_eager.py", "run_torchscript.py"])
def test_the_modules_of_another_crate_are_found_by_its_name(
    ask: Ask, tagger: Path, tmp_path: Path, name: str
) -> None:
    own = with_programs(tmp_path / "programs")

    done = ask(name, own, "--crate", tagger, "--json", stdin='{"tokens": [[7]]}\n')

    assert json.loads(done.stdout)["total"] == 7, done.stderr


@pytest.mark.parametrize("name", ["run_eager.py", "run_torchscript.py", "run_libtorch"])
def test_a_device_that_is_missing_is_one_line(ask: Ask, tagger: Path, name: str) -> None:
    done = ask(name, tagger, "--json", "--device", "cuda")

    assert done.stderr.endswith(" finds no CUDA device here: leave --device out\n")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert done.returncode == 6
