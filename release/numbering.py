"""Which version a pipeline publishes, decided from what GitLab says about the pipeline.

A file of the repository holds the next release X.Y.Z; see `origin.stated`:

* the tag vX.Y.Z publishes X.Y.Z;
* the default branch publishes X.Y.Z-dev.N, N being the number of the pipeline: it comes
  before X.Y.Z in SemVer's order, and after every earlier pipeline's;
* anything else, merge requests among them, publishes nothing.

Where no file does, the tag alone says what it publishes, and the default branch counts
towards the next patch of what is out.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import semver

from torchcrate.errors import UsageError
from torchcrate.release.origin import NextRelease

_RELEASE = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", re.ASCII)


@dataclass(frozen=True)
class Pipeline:
    """What GitLab says about a pipeline; empty where it says nothing.

    Attributes:
        tag: The tag that it runs for.
        branch: The branch that it runs for; GitLab leaves it out for tags and merge requests.
        default: The project's default branch.
        number: Counts the pipelines of this project, from 1.
    """

    tag: str
    branch: str
    default: str
    number: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Pipeline":
        """Read the variables that GitLab sets for a job."""
        return cls(
            tag=env.get("CI_COMMIT_TAG", ""),
            branch=env.get("CI_COMMIT_BRANCH", ""),
            default=env.get("CI_DEFAULT_BRANCH", ""),
            number=env.get("CI_PIPELINE_IID", ""),
        )


def number(pipeline: Pipeline, stated: NextRelease | None, published: Collection[str]) -> str:
    """Return the version that `pipeline` publishes.

    Args:
        pipeline: What it runs for.
        stated: The next release, as a file of the repository holds it; None if none does.
        published: The versions that the registry's readers see.

    Raises:
        UsageError: If what is stated is not X.Y.Z, the tag is not its tag, it is out already
            while the default branch still counts towards it, or nothing is to be published.
    """
    if stated and not _RELEASE.fullmatch(stated.version):
        raise UsageError(
            f"{stated.where} holds {stated.version!r}: put the next release there, as X.Y.Z"
        )
    if pipeline.tag:
        return _tagged(pipeline.tag, stated)
    if not pipeline.branch or pipeline.branch != pipeline.default:
        raise UsageError(
            "this pipeline publishes nothing: run it for a tag vX.Y.Z or for the default branch"
        )
    if not pipeline.number.isdecimal():
        raise UsageError(f"CI_PIPELINE_IID is {pipeline.number!r}: run this in a GitLab pipeline")
    if stated and stated.version in published:
        raise UsageError(
            f"{stated.version} is already out: put the next release into {stated.where}"
        )
    release = stated.version if stated else _following(published)
    return f"{release}-dev.{int(pipeline.number)}"


def _tagged(tag: str, stated: NextRelease | None) -> str:
    """Return the release of a tag; whether it is out is not asked, a pipeline may run again."""
    release = stated.version if stated else tag.removeprefix("v")
    if not _RELEASE.fullmatch(release) or tag != f"v{release}":
        held = f" but {stated.where} holds {release}" if stated else ""
        remedy = (
            f"tag the commit v{release}, or change {stated.where} and tag that commit"
            if stated
            else "tag the commit vX.Y.Z"
        )
        raise UsageError(f"the tag is {tag}{held}: {remedy}")
    return release


def _following(published: Collection[str]) -> str:
    """Return the patch that follows the newest release in `published`; 0.1.0 is the first."""
    releases = [semver.Version.parse(each) for each in published if _RELEASE.fullmatch(each)]
    return str(max(releases).bump_patch()) if releases else "0.1.0"
