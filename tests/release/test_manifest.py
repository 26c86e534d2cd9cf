"""The manifest is one value under law, and its schema is published."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchcrate.errors import ContractError, UsageError
from torchcrate.export.artifact import Artifact
from torchcrate.model.digits import DIGITS
from torchcrate.release.manifest import Manifest, check_version, content_digest, schema

ROOT = Path(__file__).parents[2]


def made(*files: Artifact, **changed: object) -> Manifest:
    manifest = Manifest(
        name="net",
        version="1.2.3",
        contract=DIGITS,
        metrics={"accuracy": 0.99},
        tools={"torch": "2.13.0"},
        minimum={"libtorch": "2.13.0"},
        commit="abc",
        content=content_digest(files),
        files=files,
    )
    return replace(manifest, **changed)  # type: ignore[arg-type]


MODEL = Artifact("model.pt", "torchscript", "content", 3, "0" * 64)
GOLDEN = Artifact("golden.safetensors", "golden", "evidence", 4, "1" * 64)
WORDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
DIGESTS = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)


@given(
    st.dictionaries(WORDS, st.tuples(st.integers(0, 2**40), DIGESTS), max_size=5),
    st.dictionaries(WORDS, st.floats(0, 1)),
    WORDS,
)
def test_parse_undoes_dump(
    files: dict[str, tuple[int, str]], metrics: dict[str, float], name: str
) -> None:
    rows = [Artifact(n, "runner", "content", *files[n]) for n in sorted(files)]
    manifest = made(*rows, metrics=metrics, name=name)

    assert Manifest.parse(manifest.dump()) == manifest


def test_the_published_schema_is_the_values_own_and_judges_a_manifest() -> None:
    published = json.loads((ROOT / "docs" / "manifest.schema.json").read_text())
    manifest = json.loads(made(GOLDEN, MODEL).dump())

    assert published == json.loads(json.dumps(schema()))
    jsonschema.validate(manifest, published)
    del manifest["version"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, published)


def test_an_older_major_schema_is_not_told_to_upgrade() -> None:
    with pytest.raises(ContractError, match="take an older torchcrate"):
        Manifest.parse(made(schema="0.9").dump())


def test_a_newer_major_schema_says_what_to_upgrade() -> None:
    data = made(schema="2.0").dump()

    with pytest.raises(ContractError, match="upgrade torchcrate"):
        Manifest.parse(data)


def test_a_newer_minor_schema_is_read() -> None:
    assert Manifest.parse(made(schema="1.7").dump()).schema == "1.7"


@pytest.mark.parametrize(
    "changed",
    [
        {"name": ".."},
        {"version": "1.0"},
        {"content": "0" * 64},
        {"files": (MODEL, GOLDEN)},
        {"files": (GOLDEN, GOLDEN, MODEL)},
        {"files": (replace(MODEL, name="../model.pt"),)},
        {"files": (replace(MODEL, name="manifest.json"),)},
        {"files": (replace(MODEL, sha256="x"),)},
        {"files": (replace(MODEL, size=-1),)},
    ],
    ids=str,
)
def test_a_manifest_that_contradicts_itself_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises((ContractError, UsageError)):
        Manifest.parse(made(GOLDEN, MODEL, **changed).dump())


def test_the_content_digest_leaves_evidence_out() -> None:
    other = replace(GOLDEN, sha256="2" * 64)

    assert content_digest([MODEL, GOLDEN]) == content_digest([other, MODEL])
    assert content_digest([MODEL]) != content_digest([replace(MODEL, sha256="2" * 64)])
    assert content_digest([MODEL]) != content_digest([replace(MODEL, name="other.pt")])


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "1.0.0+x", "01.0.0", "latest", "", "1.0.0-"])
def test_what_is_no_semver_is_refused(version: str) -> None:
    with pytest.raises(UsageError, match="not a version"):
        check_version(version)
