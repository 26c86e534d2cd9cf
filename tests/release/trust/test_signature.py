"""A signature is good for one key and one sequence of bytes, and for nothing else."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from torchcrate.errors import FolderError, TrustError, UsageError
from torchcrate.release.trust.signature import Signer, verify

ROOT = Path(__file__).parents[3]
DATA = b'{"name": "mnist-net"}\n'


@pytest.mark.parametrize("name", ["ours", "wide"])
def test_what_a_key_signed_its_public_half_verifies(keys, name):
    signature = Signer.from_file(keys / f"{name}.pem").sign(DATA)

    verify(DATA, signature, keys / f"{name}.pub.pem")


def test_signing_and_verifying_say_nothing_of_their_own(keys, capfd):
    verify(DATA, Signer.from_file(keys / "ours.pem").sign(DATA), keys / "ours.pub.pem")

    assert capfd.readouterr() == ("", "")


def test_another_key_is_told_as_such(keys, signer):
    with pytest.raises(TrustError, match="made with another key than"):
        verify(DATA, signer.sign(DATA), keys / "theirs.pub.pem")


def test_an_altered_manifest_is_told_as_such(keys, signer):
    with pytest.raises(TrustError, match="altered after signing"):
        verify(DATA + b" ", signer.sign(DATA), keys / "ours.pub.pem")


def test_a_forged_hint_does_not_make_it_our_key(keys, signer):
    """The bundle names its key; who claims to be us is still not us."""
    theirs = json.loads(Signer.from_file(keys / "theirs.pem").sign(DATA))
    ours = json.loads(signer.sign(DATA))
    theirs["verificationMaterial"] = ours["verificationMaterial"]

    with pytest.raises(TrustError, match="altered"):
        verify(DATA, json.dumps(theirs).encode(), keys / "ours.pub.pem")


def test_a_bundle_without_the_name_of_its_key_is_still_held_to_the_key(keys, signer, capfd):
    bundle = json.loads(Signer.from_file(keys / "theirs.pem").sign(DATA))
    del bundle["verificationMaterial"]["publicKey"]["hint"]

    with pytest.raises(TrustError):
        verify(DATA, json.dumps(bundle).encode(), keys / "ours.pub.pem")

    assert capfd.readouterr() == ("", "")


def test_a_signature_cannot_be_moved_to_other_bytes(keys, signer):
    bundle = json.loads(signer.sign(DATA))
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    other = json.loads(
        base64.b64decode(json.loads(signer.sign(b"other"))["dsseEnvelope"]["payload"])
    )
    payload["predicate"], payload["subject"] = other["predicate"], other["subject"]
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()

    with pytest.raises(TrustError, match="altered"):
        verify(b"other", json.dumps(bundle).encode(), keys / "ours.pub.pem")


@pytest.mark.parametrize(
    "signature",
    [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"mediaType": 1}', b"{" + b" " * 99],
    ids=lambda data: repr(data[:12]),
)
def test_what_is_no_signature_is_one_line(keys, signature):
    with pytest.raises(TrustError, match="is not a signature") as caught:
        verify(DATA, signature, keys / "ours.pub.pem")

    assert "\n" not in str(caught.value)


def test_every_byte_of_what_is_signed_counts(keys, signer):
    signature = signer.sign(DATA)

    for place in range(len(DATA)):
        damaged = bytearray(DATA)
        damaged[place] ^= 1
        assert not signer.signed(bytes(damaged), signature)
    assert signer.signed(DATA, signature)


def test_a_signer_knows_its_own_signatures_from_others(keys, signer):
    theirs = Signer.from_file(keys / "theirs.pem")

    assert signer.signed(DATA, Signer.from_file(keys / "locked.pem", "hush").sign(DATA))
    assert not signer.signed(DATA, theirs.sign(DATA))
    assert not signer.signed(DATA, b"")


@pytest.mark.parametrize(
    ("file", "password", "words"),
    [
        ("rsa.pem", None, "another kind of key than EC"),
        ("odd.pem", None, "curve secp256k1"),
        ("thesis.txt", None, "not a private key in PEM form"),
        ("ours.pub.pem", None, "holds a public key"),
        ("locked.pem", None, "is encrypted"),
        ("locked.pem", "wrong", "does not open"),
        ("ours.pem", "hush", "needs no password"),
    ],
)
def test_a_key_that_cannot_sign_is_one_line(keys, file, password, words):
    with pytest.raises(UsageError, match=words) as caught:
        Signer.from_file(keys / file, password)

    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("rsa.pub.pem", "another kind of key than EC"),
        ("odd.pub.pem", "curve secp256k1"),
        ("thesis.txt", "not a public key in PEM form"),
        ("ours.pem", "holds a private key"),
    ],
)
def test_a_key_that_cannot_verify_is_one_line(keys, file, words):
    with pytest.raises(UsageError, match=words) as caught:
        verify(DATA, b"{}", keys / file)

    assert "\n" not in str(caught.value)


def test_a_key_that_is_not_there_is_one_line(keys):
    with pytest.raises(FolderError, match="cannot read"):
        Signer.from_file(keys / "nowhere.pem")
    with pytest.raises(FolderError, match="cannot read"):
        verify(DATA, b"{}", keys)


def test_a_password_is_never_shown(keys):
    assert "hush" not in repr(Signer.from_file(keys / "locked.pem", "hush"))


def test_the_librarys_own_command_verifies_what_we_signed(keys, signer, tmp_path):
    (tmp_path / "manifest.json").write_bytes(DATA)
    (tmp_path / "manifest.sig").write_bytes(signer.sign(DATA))
    command = [sys.executable, "-m", "model_signing", "verify", "key", "manifest.json"]
    command += ["--signature", "manifest.sig", "--public_key", str(keys / "ours.pub.pem")]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("absent", ["model_signing", "OpenSSL"])
def test_without_the_extra_one_line_says_what_to_install(absent, keys):
    code = (
        f"import sys; sys.modules[{absent!r}] = None\n"
        "from pathlib import Path\n"
        "from torchcrate.errors import TrustError\n"
        "from torchcrate.release.trust.signature import Signer\n"
        f"try: Signer.from_file(Path({str(keys / 'ours.pem')!r}))\n"
        "except TrustError as error: print(error)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "pip install 'torchcrate[sign]'" in done.stdout
    assert done.stdout.count("\n") == 1


def test_the_library_is_loaded_for_signatures_only():
    code = "import sys, torchcrate.cli, torchcrate.release.pull, torchcrate.release.publish;"
    code += "print({'model_signing', 'cryptography', 'pickletools'} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_the_commands_of_the_readme_make_keys_that_work(tmp_path):
    commands = re.findall(r"^openssl .*$", (ROOT / "README.md").read_text(), re.M)
    plain = [command.partition("#")[0] for command in commands]

    subprocess.run(["bash", "-ec", "\n".join(plain)], cwd=tmp_path, check=True, capture_output=True)

    assert len(plain) == 2
    signer = Signer.from_file(tmp_path / "sign.pem")
    verify(DATA, signer.sign(DATA), tmp_path / "sign.pub.pem")
