"""What is not signed as asked is not pulled; what was pulled can be held to its signature later."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from torchcrate.errors import ContractError, RegistryError, TrustError, UsageError
from torchcrate.release.manifest import MANIFEST, SIGNATURE, SUMS, Manifest
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull
from torchcrate.release.trust.signature import Signer
from torchcrate.release.trust.vouch import check, sentence


@pytest.fixture
def out(tmp_path):
    """Where tests pull to; the folder around it holds nothing else."""
    (tmp_path / "around").mkdir()
    return tmp_path / "around" / "out"


@pytest.fixture
def pulled(crate, put, signer, shelf, keys, out):
    """A signed version, pulled."""
    put(crate, signer=signer)
    pull("mnist-net@1.0.0", shelf, out, verify_key=keys / "ours.pub.pem")
    return out


def test_a_signed_version_comes_with_its_signature(
    crate, registry, signer, keys, out, contents, tmp_path
):
    published = publish(crate, registry, signer=signer)

    pull("mnist-net@1.0.0", registry, out, verify_key=keys / "ours.pub.pem")

    assert published.uploaded[-2:] == (SIGNATURE, MANIFEST)
    assert signer.signed((out / MANIFEST).read_bytes(), (out / SIGNATURE).read_bytes())
    (out / SIGNATURE).unlink()
    assert contents(out) == contents(crate)


def test_a_pull_without_a_key_keeps_the_signature_for_later(crate, put, signer, shelf, keys, out):
    put(crate, signer=signer)

    pull("mnist-net@1.0.0", shelf, out)

    assert check(out, keys / "ours.pub.pem").checked


def test_the_signature_is_hidden_until_the_manifest_shows_the_version(crate, gitlab, signer):
    publish(crate, gitlab.registry(), signer=signer)

    *_, signed, released = gitlab.log("PUT")
    assert gitlab.sent()[-2:] == [SIGNATURE, MANIFEST]
    assert (signed["visible"], len(released["visible"])) == ({}, 1)


def test_a_second_run_finds_the_signature_that_an_earlier_one_left(crate, gitlab, signer):
    gitlab.fault("500", times=0, method="PUT", file="/manifest.json")
    with pytest.raises(RegistryError):
        publish(crate, gitlab.registry(), signer=signer)
    gitlab.heal()

    again = publish(crate, gitlab.registry(), signer=signer)

    assert again.uploaded == (MANIFEST,)
    assert gitlab.sent().count(SIGNATURE) == 1


def test_a_signature_left_by_another_key_is_covered(crate, gitlab, signer, keys, out):
    gitlab.fault("500", times=0, method="PUT", file="/manifest.json")
    with pytest.raises(RegistryError):
        publish(crate, gitlab.registry(), signer=Signer.from_file(keys / "theirs.pem"))
    gitlab.heal()

    publish(crate, gitlab.registry(), signer=signer)

    pull("mnist-net@1.0.0", gitlab.registry(), out, verify_key=keys / "ours.pub.pem")


def test_the_same_content_signed_again_uploads_nothing(make_crate, registry, signer):
    publish(make_crate(), registry, signer=signer)

    again = publish(make_crate(evidence=1), registry, signer=signer)

    assert again.already_there


@pytest.mark.parametrize("first", [None, "theirs"])
def test_a_version_that_stands_unsigned_is_not_said_to_be_published_signed(
    crate, registry, signer, keys, first
):
    publish(crate, registry, signer=Signer.from_file(keys / f"{first}.pem") if first else None)

    with pytest.raises(TrustError, match=r"not signed with ours\.pem"):
        publish(crate, registry, signer=signer)


@pytest.mark.parametrize("file", [SIGNATURE, MANIFEST])
def test_who_signs_and_is_overtaken_by_who_does_not_is_told(make_crate, gitlab, signer, file):
    gitlab.fault("overtake", method="PUT", file=f"/{file}", folder=str(make_crate(evidence=1)))

    with pytest.raises(TrustError, match=r"not signed with ours\.pem"):
        publish(make_crate(), gitlab.registry(), signer=signer)


def test_an_unsigned_version_is_refused_when_a_key_is_given(crate, registry, keys, out):
    publish(crate, registry)

    with pytest.raises(TrustError, match="is not signed"):
        pull("mnist-net@1.0.0", registry, out, verify_key=keys / "ours.pub.pem")

    assert list(out.parent.iterdir()) == []


def test_a_version_signed_by_another_key_is_refused(crate, registry, signer, keys, out):
    publish(crate, registry, signer=signer)

    with pytest.raises(TrustError, match="made with another key"):
        pull("mnist-net@1.0.0", registry, out, verify_key=keys / "theirs.pub.pem")

    assert list(out.parent.iterdir()) == []


def test_nothing_more_is_asked_for_before_the_signature_is_good(crate, gitlab, signer, keys, out):
    publish(crate, gitlab.registry(), signer=signer)
    before = len(gitlab.log("GET"))

    with pytest.raises(TrustError):
        pull("mnist-net@1.0.0", gitlab.registry(), out, verify_key=keys / "theirs.pub.pem")

    asked = [entry["path"].rpartition("/")[2] for entry in gitlab.log("GET")[before:]]
    assert asked == [MANIFEST, SIGNATURE]


def test_a_key_of_no_use_is_told_before_anything_is_asked_for(gitlab, keys, out):
    with pytest.raises(UsageError, match="EC"):
        pull("mnist-net@1.0.0", gitlab.registry(), out, verify_key=keys / "rsa.pub.pem")

    assert gitlab.log("GET") == []


def test_a_manifest_altered_with_its_sums_is_refused(crate, put, signer, shelf, keys, out):
    """Whoever may write to the registry can make sums agree, but not sign."""
    stored = put(crate, signer=signer)
    value = json.loads((stored / MANIFEST).read_bytes())
    value["metrics"]["accuracy"] = 1.0
    manifest = Manifest.parse(json.dumps(value).encode())
    (stored / MANIFEST).write_bytes(manifest.dump())
    (stored / SUMS).write_bytes(manifest.sums())

    with pytest.raises(TrustError, match="altered"):
        pull("mnist-net@1.0.0", shelf, out, verify_key=keys / "ours.pub.pem")
    pull("mnist-net@1.0.0", shelf, out)  # what a pull without a key cannot tell

    assert (out / MANIFEST).read_bytes() != (crate / MANIFEST).read_bytes()


@pytest.mark.parametrize("other", ["name", "version"])
def test_a_signed_manifest_of_something_else_is_refused(
    make_crate, put, signer, shelf, keys, out, other, tmp_path
):
    """The signature is good, and it is not of what was asked for."""
    stored = put(make_crate("1.0.0"), signer=signer)
    served = tmp_path / "shelf" / ("mnist-net" if other == "version" else "other") / "2.0.0"
    shutil.copytree(stored, served)
    reference = f"{served.parent.name}@2.0.0"

    with pytest.raises(RegistryError, match=r"has the manifest of mnist-net 1\.0\.0"):
        pull(reference, shelf, out, verify_key=keys / "ours.pub.pem")

    assert list(out.parent.iterdir()) == []


def test_an_unsigned_version_takes_the_place_of_a_signed_one_whole(
    make_crate, put, shelf, pulled, contents
):
    second = make_crate("1.1.0", seed=1)
    put(second, "1.1.0")

    pull("mnist-net@1.1.0", shelf, pulled)

    assert contents(pulled) == contents(second)


def test_one_file_with_manifest_and_signature_is_enough(pulled, keys, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("model.onnx", MANIFEST, SIGNATURE):
        shutil.copy(pulled / name, alone)

    for path in (alone, alone / "model.onnx"):
        checked = check(path, keys / "ours.pub.pem")

        assert checked.checked == ("model.onnx",)
        assert "model.pt" in checked.absent
        assert "signed with ours.pub.pem; model.onnx is as signed" in sentence(
            checked, keys / "ours.pub.pem"
        )


def test_a_whole_folder_is_checked_and_what_is_not_of_the_crate_is_named(pulled, keys):
    (pulled / "notes.txt").write_text("mine")

    checked = check(pulled, keys / "ours.pub.pem")

    assert len(checked.checked) == len(json.loads((pulled / MANIFEST).read_bytes())["files"])
    assert checked.absent == ()
    assert checked.foreign == ("notes.txt",)
    assert sentence(checked, keys / "ours.pub.pem").endswith("notes.txt is not signed")


def test_a_flipped_byte_in_a_file_is_found(pulled, keys):
    data = bytearray((pulled / "model.onnx").read_bytes())
    data[50] ^= 1
    (pulled / "model.onnx").write_bytes(data)

    for path in (pulled, pulled / "model.onnx"):
        with pytest.raises(TrustError, match=r"model\.onnx is not the file that was signed"):
            check(path, keys / "ours.pub.pem")
    check(pulled / "model.pt", keys / "ours.pub.pem")


def test_other_sums_are_found(pulled, keys):
    (pulled / SUMS).write_text((pulled / SUMS).read_text().replace("a", "b", 1))

    with pytest.raises(TrustError, match="SHA256SUMS"):
        check(pulled, keys / "ours.pub.pem")


def test_a_manifest_altered_after_the_pull_is_found(pulled, keys):
    (pulled / MANIFEST).write_bytes((pulled / MANIFEST).read_bytes() + b"\n")

    with pytest.raises(TrustError, match="altered"):
        check(pulled, keys / "ours.pub.pem")


@pytest.mark.parametrize(
    ("gone", "kind", "words"),
    [(MANIFEST, ContractError, "pulled into"), (SIGNATURE, TrustError, "holds no manifest.sig")],
)
def test_what_is_missing_for_a_check_is_said(pulled, keys, gone, kind, words):
    (pulled / gone).unlink()

    with pytest.raises(kind, match=words):
        check(pulled, keys / "ours.pub.pem")


def test_a_file_of_no_crate_is_not_said_to_be_signed(pulled, keys):
    (pulled / "notes.txt").write_text("mine")

    with pytest.raises(ContractError, match=r"notes\.txt is not a file of mnist-net 1\.0\.0"):
        check(pulled / "notes.txt", keys / "ours.pub.pem")


@pytest.mark.parametrize("option", ["sign", "verify"])
def test_a_key_in_place_of_its_path_is_told_and_not_shown(keys, tmp_path, torchcrate, option):
    text = (keys / "ours.pem").read_text()
    asked = {
        "sign": ("publish", str(tmp_path), "--to", str(tmp_path)),
        "verify": ("pull", "mnist-net@1.0.0", "--from", str(tmp_path)),
    }

    done = torchcrate(*asked[option], **{f"TORCHCRATE_{option.upper()}_KEY": text})

    assert done.returncode == 2
    assert "it is a key, not the path of a file that holds one" in done.stderr
    assert not any(line in done.stdout + done.stderr for line in text.splitlines())


@pytest.mark.parametrize("how", ["option", "variable"])
def test_what_the_key_did_not_sign_is_refused_by_the_command(
    crate, shelf, keys, tmp_path, torchcrate, how
):
    publish(crate, shelf)
    public = str(keys / "ours.pub.pem")
    asked = ["pull", "mnist-net@1.0.0", "--from", str(tmp_path / "shelf"), "--out", tmp_path / "o"]

    if how == "option":
        done = torchcrate(*asked, "--verify-key", public)
    else:
        done = torchcrate(*asked, TORCHCRATE_VERIFY_KEY=public)

    assert done.returncode == TrustError.exit_code
    assert "is not signed: ask its publisher to sign" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("option", ["sign", "verify"])
def test_an_empty_variable_does_not_mean_without_a_key(crate, shelf, tmp_path, torchcrate, option):
    publish(crate, shelf)
    place = str(tmp_path / "shelf")
    asked = {
        "sign": ("publish", str(crate), "--to", place),
        "verify": ("pull", "mnist-net@1.0.0", "--from", place, "--out", tmp_path / "o"),
    }

    done = torchcrate(*asked[option], **{f"TORCHCRATE_{option.upper()}_KEY": ""})

    assert done.returncode == 2
    assert f"TORCHCRATE_{option.upper()}_KEY is empty" in done.stderr
    assert not (tmp_path / "o").exists()


def test_the_commands_sign_verify_and_check_offline(crate, keys, tmp_path, torchcrate):
    env = {
        "TORCHCRATE_SIGN_KEY": str(keys / "locked.pem"),
        "TORCHCRATE_SIGN_PASSWORD": "hush",
        "TORCHCRATE_VERIFY_KEY": str(keys / "ours.pub.pem"),
    }
    (tmp_path / "shelf").mkdir()

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return torchcrate(*arguments, cwd=tmp_path, **env)

    published = run("publish", crate, "--to", "shelf")
    pulled = run("pull", "mnist-net@1.0.0", "--from", "shelf", "--out", "out")
    checked = run("check", "out", "--json")
    (tmp_path / "out" / "model.pt").write_bytes(b"another")
    refused = run("check", "out/model.pt")

    assert published.returncode == 0, published.stderr
    assert pulled.stdout == "out: mnist-net 1.0.0, 10 files, signed with ours.pub.pem\n"
    assert json.loads(checked.stdout)["absent"] == []
    assert refused.returncode == TrustError.exit_code
    assert refused.stderr.startswith("Error: out/model.pt is not the file that was signed")
    assert "hush" not in published.stdout + published.stderr
