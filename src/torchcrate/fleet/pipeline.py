"""A fleet as a pipeline of GitLab: one job a network, so that its runners are the cluster."""

import json
from collections.abc import Sequence
from importlib import resources

from torchcrate.fleet.members import Member

LARGEST = 200  # entries that GitLab takes in one `parallel:matrix`


def pipeline(fleet: Sequence[Member]) -> str:
    """Return a child pipeline as YAML: jobs `crate: [NAME, TARGET]`.

    A network that cannot be read has a job as well, which fails and says why.
    """
    head = resources.files("torchcrate.fleet").joinpath("pipeline.yml").read_text()
    parts = [fleet[start : start + LARGEST] for start in range(0, len(fleet), LARGEST)]
    jobs = ["crate", *(f"crate-{number}" for number in range(2, len(parts) + 1))]
    return "\n".join([head, *(_job(*each) for each in zip(jobs, parts, strict=True))])


def _job(name: str, part: Sequence[Member]) -> str:
    entries = []
    for one in part:
        # What has no name yet fails at its export, which says why, and not at its name.
        crate = one.name.replace(":", "-")
        entries.append(f"      - {{CRATE: {_quoted(crate)}, SPEC: {_quoted(one.target)}}}\n")
    return f"{name}:\n  extends: .crate\n  parallel:\n    matrix:\n{''.join(entries)}"


def _quoted(word: str) -> str:
    return json.dumps(word)  # a string of JSON is one of YAML
