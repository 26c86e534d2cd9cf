"""Which version a pipeline publishes, decided from what GitLab says about the pipeline.

`VERSION` always holds the next release X.Y.Z:

* the tag vX.Y.Z publishes X.Y.Z;
* the default branch publishes X.Y.Z-dev.N, N being the number of the pipeline: it comes
  before X.Y.Z in SemVer's order, and after every earlier pipeline's;
* anything else, merge requests among them, publishes nothing.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torchcrate.errors import UsageError

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


def number(pipeline: Pipeline, release: str, published: Collection[str]) -> str:
    """Return the version that `pipeline` publishes.

    Args:
        pipeline: What it runs for.
        release: The next release, as `VERSION` holds it.
        published: The versions that the registry's readers see.

    Raises:
        UsageError: If `release` is not X.Y.Z, the tag is not its tag, it is out already
            while the default branch still counts towards it, or nothing is to be published.
    """
    if not _RELEASE.fullmatch(release):
        raise UsageError(f"VERSION holds {release!r}: put the next release there, as X.Y.Z")
    if pipeline.tag:
        # The tag is not asked whether it is out: running its pipeline again is no mistake.
        if pipeline.tag != f"v{release}":
            raise UsageError(
                f"the tag is {pipeline.tag} but VERSION holds {release}: "
                f"tag the commit v{release}, or change VERSION and tag that commit"
            )
        return release
    if not pipeline.branch or pipeline.branch != pipeline.default:
        raise UsageError(
            "this pipeline publishes nothing: run it for a tag vX.Y.Z or for the default branch"
        )
    if not pipeline.number.isdecimal():
        raise UsageError(f"CI_PIPELINE_IID is {pipeline.number!r}: run this in a GitLab pipeline")
    if release in published:
        raise UsageError(f"{release} is already out: put the next release into VERSION")
    return f"{release}-dev.{int(pipeline.number)}"
