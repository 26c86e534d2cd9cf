"""Two versions are compared by what they do, wherever each of them lies."""

import json
from dataclasses import replace

import httpx
import numpy as np
import pytest

from torchcrate.errors import ContractError, RegistryError
from torchcrate.model.digits import DIGITS
from torchcrate.release.announce.diff import difference, in_folder, in_registry
from torchcrate.release.announce.words import shown
from torchcrate.release.crate import unseal
from torchcrate.release.publish import publish

BROKEN = replace(DIGITS, labels=tuple("abcdefghij"))


def test_a_crate_differs_from_itself_in_nothing(golden_crate):
    side = in_folder(golden_crate())

    found = difference(side, side)

    assert found.same_content
    assert not found.breaks
    assert found.golden.compared == 3
    assert found.golden.largest == 0
    assert (found.contract, found.tools, found.minimum, found.files) == ((), (), (), ())


def test_everything_that_changed_is_found(golden_crate, vectors):
    old = golden_crate("1.0.0", metrics={"accuracy": 0.99, "latency_ms onnx": 2.0})
    new = golden_crate(
        "1.1.0",
        golden=vectors(one=np.full((2, 10), -4)),
        changed=("model.onnx",),
        metrics={"accuracy": 0.995, "latency_ms onnx": 1.5, "loss": 0.02},
        tools={"torch": "2.14.0"},
        minimum={"onnxruntime": "1.21", "libtorch": "2.14"},
    )

    found = difference(in_folder(old), in_folder(new))

    assert (found.old, found.new) == ("mnist-net 1.0.0", "mnist-net 1.1.0")
    assert not found.same_content
    figures = {each.what: (each.old, each.new) for each in (*found.metrics, *found.latency)}
    assert figures == {
        "accuracy": (0.99, 0.995),
        "loss": (None, 0.02),
        "latency_ms onnx": (2.0, 1.5),
    }
    assert [each.what for each in found.latency] == ["latency_ms onnx"]
    assert found.golden.worst == "one"
    assert found.golden.flips == 2
    assert [(w.what, w.old, w.new) for w in found.tools] == [("torch", "2.13.0", "2.14.0")]
    assert [w.what for w in found.minimum] == ["libtorch", "onnxruntime"]
    assert (found.added, found.removed, found.changed) == ((), (), ("model.onnx",))
    assert [each.what for each in found.parity] == ["onnx tensors"]
    assert found.parity_margin.old == pytest.approx(20)


def test_files_that_came_and_went_are_named_with_their_sizes(golden_crate, reseal):
    old, new = golden_crate("1.0.0"), golden_crate("1.1.0")
    size = (old / "model.pt").stat().st_size
    (old / "model.pt").unlink()
    (new / "LICENSE").write_bytes(b"x" * 150)
    reseal(old, "1.0.0"), reseal(new, "1.1.0")

    found = difference(in_folder(new), in_folder(old))

    assert (found.added, found.removed, found.changed) == ((), ("model.pt",), ("LICENSE",))
    words = shown(found)
    assert "changed LICENSE: 100 B, -50 B" in words
    assert f"removed model.pt: {size} B" in words


def test_a_folder_and_a_published_version_are_compared(golden_crate, registry):
    publish(golden_crate("1.0.0"), registry)

    found = difference(in_registry("mnist-net@1.0.0", registry), in_folder(golden_crate("1.1.0")))

    assert found.same_content
    assert found.golden.compared == 3
    assert in_registry("mnist-net@latest", registry).title == "mnist-net 1.0.0"


def test_a_crate_that_is_not_sealed_yet_is_compared(golden_crate):
    crate = golden_crate()
    unseal(crate)

    found = difference(in_folder(golden_crate("0.9.0")), in_folder(crate))

    assert found.golden.compared == 3
    assert "parity of onnx tensors" in shown(found)


def test_golden_vectors_that_are_damaged_or_missing_leave_the_rest(golden_crate, gitlab):
    publish(golden_crate("1.0.0"), gitlab.registry())
    url = gitlab.url("mnist-net", "1.0.0", "golden.safetensors")
    httpx.put(url, content=b"other", headers={"PRIVATE-TOKEN": "glpat-developer"})

    old = in_registry("mnist-net@1.0.0", gitlab.registry())
    found = difference(old, in_folder(golden_crate("1.1.0")))

    assert "is not the one that it states" in found.golden.problem
    assert "golden outputs: not compared" in shown(found)
    assert found.metrics


def test_a_folder_whose_golden_vectors_changed_is_refused(golden_crate):
    crate = golden_crate()
    (crate / "golden.safetensors").write_bytes(b"other")

    with pytest.raises(ContractError, match=r"is not the one that .* states"):
        in_folder(crate)


def test_a_version_that_is_not_there_is_an_error(registry, tmp_path):
    with pytest.raises(RegistryError):
        in_registry("mnist-net@1.0.0", registry)
    with pytest.raises(ContractError, match="no crate"):
        in_folder(tmp_path)


def test_hostile_words_come_out_harmless(golden_crate):
    evil = golden_crate(
        metrics={"accuracy": 0.5, "\x1b[2J": 1.0},
        tools={"\x1b]0;": "\x07"},
        minimum={"x\ny": "\x1b"},
    )

    words = shown(difference(in_folder(golden_crate()), in_folder(evil)))

    assert "\x1b" not in words
    assert "\x07" not in words


def test_the_command_says_breaks_and_exits_as_asked(golden_crate, tmp_path, torchcrate):
    torchcrate("publish", golden_crate("0.1.0"), "--to", tmp_path / "registry")
    crate = golden_crate("0.2.0", contract=BROKEN)
    asked = ("diff", "mnist-net@0.1.0", crate, "--from", tmp_path / "registry")

    plain, strict = torchcrate(*asked), torchcrate(*asked, "--exit-code")
    as_json = torchcrate(*asked, "--json")

    assert plain.returncode == 0
    assert "break: label 0 is 'a', was '0'" in plain.stdout
    assert "accuracy" in plain.stdout
    assert strict.returncode == 3
    assert strict.stdout == plain.stdout
    assert "breaks that of mnist-net 0.1.0" in strict.stderr
    assert json.loads(as_json.stdout)["contract"][0]["breaks"] is True


def test_two_folders_need_no_registry(golden_crate, torchcrate):
    done = torchcrate("diff", golden_crate("0.1.0"), golden_crate("0.2.0"), CI_API_V4_URL="")

    assert done.returncode == 0, done.stderr
    assert "contract: the same" in done.stdout
    assert "golden outputs: 3 inputs compared, largest difference 0.0e+00, 0 labels" in done.stdout
    assert "content: the same by their manifests" in done.stdout
