"""provenance.json: who made a crate, from what and with what, as an in-toto Statement.

Its form is SLSA Provenance v1 (https://slsa.dev/spec/v1.0/provenance), unsigned by itself:
the manifest states its sha256, and the signature covers the manifest.
"""

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit

from torchcrate.release.manifest import Manifest

NAME = "provenance.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:torchcrate:export:1"  # what `externalParameters` mean
LOCAL = "urn:torchcrate:local"  # the builder where no GitLab runs it

_COMMIT = re.compile(r"(?P<commit>[0-9a-f]{40,64})(?P<dirty>-dirty)?")


@dataclass(frozen=True)
class Origin:
    """Where a crate is made, as far as it may be told to anybody; empty where it is not known.

    Nothing of it names a person, a token or a folder of the machine.

    Attributes:
        repository: URL of the project.
        commit: git commit of the sources, with `-dirty` if files changed since.
        server: URL of the GitLab that runs the job.
        pipeline: URL of the pipeline.
        job: URL of the job.
    """

    repository: str = ""
    commit: str = ""
    server: str = ""
    pipeline: str = ""
    job: str = ""

    @classmethod
    def from_env(cls, env: Mapping[str, str], commit: str) -> "Origin":
        """Read the variables that GitLab sets for a job.

        Args:
            env: The environment.
            commit: What git says of the sources; empty takes GitLab's word.
        """
        return cls(
            repository=_public(env.get("CI_PROJECT_URL", "")),
            commit=commit or env.get("CI_COMMIT_SHA", ""),
            server=_public(env.get("CI_SERVER_URL", "")),
            pipeline=_public(env.get("CI_PIPELINE_URL", "")),
            job=_public(env.get("CI_JOB_URL", "")),
        )


@dataclass(frozen=True)
class Materials:
    """What a crate is made from, beside the sources.

    Attributes:
        checkpoint: sha256 of the weights that were exported; empty if they came from no file.
        data: sha256 of each file that they were trained and judged on, by name; empty if unknown.
    """

    checkpoint: str
    data: Mapping[str, str] = field(default_factory=dict)


def statement(draft: Manifest, origin: Origin, materials: Materials) -> bytes:
    """Return provenance.json for the content files of a crate.

    Args:
        draft: States name, version, tools and all content files.
        origin: Where it is made.
        materials: What it is made from.
    """
    value = {
        "_type": STATEMENT,
        "subject": [
            {"name": file.name, "digest": {"sha256": file.sha256}}
            for file in draft.files
            if file.kind == "content"
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"name": draft.name, "version": draft.version},
                "internalParameters": {"pipeline": origin.pipeline} if origin.pipeline else {},
                "resolvedDependencies": [*_sources(origin), *_weights(materials)],
            },
            "runDetails": {
                "builder": {"id": origin.server or LOCAL, "version": _tools(draft)},
                "metadata": {"invocationId": origin.job} if origin.job else {},
            },
        },
    }
    return json.dumps(value, indent=2).encode() + b"\n"


def alike(one: bytes, other: bytes) -> bool:
    """Return whether two statements differ in nothing but job, pipeline and versions of tools."""
    claim = _claim(one)
    return claim is not None and claim == _claim(other)


def _claim(statement: bytes) -> Any:
    """Return what every build of one crate states alike; None if it is no statement."""
    try:
        said = json.loads(statement)
        del said["predicate"]["buildDefinition"]["internalParameters"]
        del said["predicate"]["runDetails"]["metadata"]
        del said["predicate"]["runDetails"]["builder"]["version"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return said


def _sources(origin: Origin) -> list[dict[str, Any]]:
    """Return the git commit as a dependency, none where it is not known."""
    found = _COMMIT.fullmatch(origin.commit)
    if not found:
        return []
    where = f"git+{origin.repository}.git" if origin.repository else "git+urn:torchcrate:unknown"
    source = {"uri": f"{where}@{found['commit']}", "digest": {"gitCommit": found["commit"]}}
    # Then the commit is not all that the crate was made from, and nobody may think so.
    return [source | ({"annotations": {"dirty": True}} if found["dirty"] else {})]


def _weights(materials: Materials) -> list[dict[str, Any]]:
    checkpoint = {"checkpoint": materials.checkpoint} if materials.checkpoint else {}
    files = checkpoint | dict(sorted(materials.data.items()))
    return [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in files.items()]


def _tools(draft: Manifest) -> dict[str, str]:
    ours = {"python": platform.python_version(), "torchcrate": metadata.version("torchcrate")}
    return dict(sorted({**draft.tools, **ours}.items()))


def _public(url: str) -> str:
    """Return a web address without what may be secret in one; empty if it is none."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
