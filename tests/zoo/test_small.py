"""Each small network gets its verdict, and what is right is right on inputs never seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from torchcrate.errors import ContractError, CrateError
from torchcrate.export import choose, to_torchscript
from torchcrate.export.asking import asking
from torchcrate.export.models import Exported, export_models
from torchcrate.model import weights
from torchcrate.model.cases import example, generated, one
from torchcrate.model.contract import Contract
from torchcrate.model.eager import answers, dtypes
from torchcrate.model.spec import ModelSpec
from torchcrate.model.tolerance import difference, tolerances

pytestmark = [
    pytest.mark.seconds(50),
    # What torch says of its own way through an encoder with a mask, and of its own decoder.
    pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning"),
    pytest.mark.filterwarnings("ignore:'norm' was found in ScriptModule constants:UserWarning"),
]

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(Path(__file__).parent)
    from small import Small
    from small_border import BORDER
    from small_control import CONTROL, Branch, RareBranch, RareSize
    from small_state import STATE

ALL = {small.name: small for small in (*BORDER, *CONTROL, *STATE)}
SLOW = ("LoopTraced", "EncoderPaddedTraced")  # refused after all was tried
QUICK = (  # what is refused before anything is made, and one of each other kind
    *(name for name, small in ALL.items() if small.refused and name not in SLOW),
    *("OptionalIn", "DataclassOut", "NestedOut", "KeywordOnly", "IntOverflow", "EmptyBatch"),
    *("HalfTheHeight", "Branch", "OwnNumber", "FixedSizeAsked", "Eigen", "Tied", "Counter"),
    *("EncoderCausal", "DecidesByItself", "TimeFirst", "Rnn", "RnnBatchFirst"),
)
FILES = {"torchscript": "model.pt", "onnx": "model.onnx"}
WAYS = (*to_torchscript.WAYS, "onnx")


@dataclass(frozen=True)
class Verdict:
    """What became of a network: by format the way or the reason, or why there is nothing."""

    found: Mapping[str, str]
    refused: str
    largest: float = 0.0


def judged(small: Small, folder: Path) -> Verdict:
    """Export a network, and ask each file that was written what nobody asked before."""
    loaded = weights.load(small.spec)
    try:
        exported = export_models(loaded, small.spec, folder)
    except CrateError as error:
        return Verdict({}, str(error))
    found = {form.name: form.way or form.reason for form in exported.findings.formats}
    limits = tolerances(small.spec, dtypes(loaded.module, exported.contract))
    written = [form.name for form in exported.findings.formats if form.name in FILES and form.way]
    off = [
        _off(name, loaded.module, exported, folder / FILES[name], limits[name]) for name in written
    ]
    return Verdict(found, "", max(off, default=0.0))


def _off(
    runtime: str, module: torch.nn.Module, exported: Exported, path: Path, limit: float
) -> float:
    """Return the largest difference of a file to eager, on inputs that no case has."""
    contract, most = exported.contract, 0.0
    fresh = unseen(contract)
    want = answers(module, contract, fresh)
    with asking(runtime, contract, path) as ask:
        for case, inputs in fresh.items():
            got = ask(inputs)
            assert len(got) == len(contract.outputs)
            for spec, value in zip(contract.outputs, got, strict=True):
                off = difference(value, want[case][spec.name])
                assert (off <= limit).all(), f"{runtime}: {spec.name} at {case} is off by {off}"
                most = max(most, float(off.max(initial=0.0)))
    return most


def unseen(contract: Contract) -> dict[str, dict[str, NDArray[Any]]]:
    """Return inputs of sizes and values that neither the example nor any case has."""
    cases = {}
    for turn, step in enumerate((12, 17)):
        sizes = {
            axis: contract.sizes_of(axis).minimum + step + place
            for place, axis in enumerate(contract.free)
        }
        cases[f"unseen{turn}"] = one(contract, sizes, seed=4000 + turn)
    known = [example(contract), *generated(contract).values()]
    assert not any(
        np.array_equal(given[name], case[name]) and given[name].size > 8
        for given in known
        for case in cases.values()
        for name in given
    )
    return cases


def held(small: Small, verdict: Verdict) -> None:
    """Compare a verdict with the one that the network must get."""
    if small.refused:
        assert small.refused in verdict.refused
        return
    assert not verdict.refused
    for wanted, found in zip(
        (small.torchscript, small.onnx), (verdict.found[name] for name in FILES), strict=True
    ):
        assert wanted == found if wanted in WAYS else wanted in found


@pytest.mark.parametrize("name", QUICK)
def test_a_small_network_gets_its_verdict(name: str, tmp_path: Path) -> None:
    held(ALL[name], judged(ALL[name], tmp_path))


@pytest.mark.proof
def test_every_small_network_gets_its_verdict(tmp_path: Path) -> None:
    print()
    for name, small in ALL.items():
        (tmp_path / name).mkdir()

        verdict = judged(small, tmp_path / name)

        held(small, verdict)
        print(row(small, verdict))


def row(small: Small, verdict: Verdict) -> str:
    """Return one line of the table."""
    if small.refused:
        return f"{small.name:19} refused: {verdict.refused.partition('; onnx cannot')[0][:150]}"
    forms = [verdict.found[name] for name in FILES]
    words = [f"{form if len(form) < 8 else 'refused':8}" for form in forms]
    why = "; ".join(form[:110] for form in forms if len(form) > 8)
    return f"{small.name:19} {' '.join(words)} {verdict.largest:.0e} {why}".rstrip()


def test_a_frozen_branch_that_no_input_shows_would_pass_without_looking_at_the_code() -> None:
    asked = _asked(ALL["RareBranch"])
    made = to_torchscript.make(asked.module, asked.contract, "trace", asked.example)
    large = torch.full((2, 4), 5000.0)

    right = [
        torch.equal(made.module(torch.from_numpy(case["x"])), torch.from_numpy(want["output"]))
        for case, want in zip(asked.cases.values(), asked.want.values(), strict=True)
    ]

    assert all(right)
    assert not torch.equal(made.module(large), RareBranch()(large))


def test_a_frozen_size_that_no_input_has_would_pass_without_looking_at_the_code() -> None:
    asked = _asked(ALL["RareSize"])
    made = to_torchscript.make(asked.module, asked.contract, "trace", asked.example)
    long = torch.ones(1001, 4)

    right = [
        torch.equal(made.module(torch.from_numpy(case["x"])), torch.from_numpy(want["output"]))
        for case, want in zip(asked.cases.values(), asked.want.values(), strict=True)
    ]

    assert all(right)
    assert not torch.equal(made.module(long), RareSize()(long))


def test_a_wrong_verdict_is_noticed(tmp_path: Path) -> None:
    wrong = Small(Branch, ALL["Branch"].inputs, torchscript="trace")

    verdict = judged(wrong, tmp_path)

    with pytest.raises(AssertionError):
        held(wrong, verdict)


def test_a_file_that_is_off_is_noticed(tmp_path: Path) -> None:
    tied = ALL["Tied"]
    loaded = weights.load(tied.spec)
    exported = export_models(loaded, tied.spec, tmp_path)
    with torch.no_grad():
        loaded.network.head.weight[3, 3] += 0.01

    with pytest.raises(AssertionError, match="is off by"):
        _off("torchscript", loaded.module, exported, tmp_path / "model.pt", 1e-5)


def test_a_checkpoint_with_wrong_keys_names_all_of_them(tmp_path: Path) -> None:
    state = weights.load(ALL["Tied"].spec).network.state_dict()
    state["head.wait"] = state.pop("head.weight")
    state["embedding.weight"] = state["embedding.weight"][:5]
    torch.save(state, tmp_path / "net.pth")

    with pytest.raises(ContractError) as caught:
        weights.load(ALL["Tied"].spec, tmp_path / "net.pth")

    assert "head.wait is unknown" in str(caught.value)
    assert "embedding.weight has shape (5, 8), not (20, 8)" in str(caught.value)


def test_answers_that_do_not_vary_are_said_to_prove_little(tmp_path: Path) -> None:
    same, other = ALL["SameAnswers"], ALL["Tied"]

    notes = {
        small.name: export_models(
            weights.load(small.spec), small.spec, _folder(tmp_path, small.name)
        ).findings
        for small in (same, other)
    }

    said = {
        name: " ".join(trial.words() for form in findings.formats for trial in form.trials)
        for name, findings in notes.items()
    }
    assert "that proves little: the answers hardly depend on the inputs" in said["SameAnswers"]
    assert "proves little" not in said["Tied"]


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def _asked(small: Small) -> choose.Asked:
    module = weights.load(small.spec).module
    spec = ModelSpec(
        small.name.lower(), small.build, small.inputs, outputs=("output:float32[batch,4]",)
    )
    cases = generated(spec.contract)
    return choose.Asked(
        module,
        spec.contract,
        {name: torch.from_numpy(value) for name, value in example(spec.contract).items()},
        cases,
        answers(module, spec.contract, cases),
        tolerances(spec, ()),
    )
