"""The version of a pipeline follows from its tag or branch and from VERSION."""

import pytest
import semver

from torchcrate.errors import UsageError
from torchcrate.release.manifest import check_version
from torchcrate.release.numbering import Pipeline, number

BRANCH = {
    "CI_COMMIT_BRANCH": "main",
    "CI_DEFAULT_BRANCH": "main",
    "CI_PIPELINE_IID": "17",
    "CI_JOB_TOKEN": "glcbt-secret",
}
TAG = {"CI_COMMIT_TAG": "v1.2.3", "CI_DEFAULT_BRANCH": "main", "CI_PIPELINE_IID": "18"}
MERGE_REQUEST = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_DEFAULT_BRANCH": "main",
    "CI_PIPELINE_IID": "19",
}


def test_a_tag_publishes_the_release_it_names():
    pipeline = Pipeline.from_env(TAG)

    version = number(pipeline, "1.2.3", published=())

    assert version == "1.2.3"


def test_a_tag_may_run_again_when_its_release_is_out():
    pipeline = Pipeline.from_env(TAG)

    version = number(pipeline, "1.2.3", published=("1.2.3",))

    assert version == "1.2.3"


@pytest.mark.parametrize("tag", ["v1.2.4", "1.2.3", "v1.2.3-rc.1", "v1.2", "V1.2.3", "v1.2.3 "])
def test_a_tag_that_differs_from_the_file_is_refused(tag):
    pipeline = Pipeline.from_env({**TAG, "CI_COMMIT_TAG": tag})

    with pytest.raises(UsageError, match=r"but VERSION holds 1\.2\.3: tag the commit v1\.2\.3"):
        number(pipeline, "1.2.3", published=())


def test_the_default_branch_publishes_a_numbered_step_towards_the_release():
    pipeline = Pipeline.from_env(BRANCH)

    version = number(pipeline, "1.2.3", published=("1.2.2", "1.2.3-dev.16"))

    assert version == "1.2.3-dev.17"
    assert check_version(version) == version


def test_versions_of_later_pipelines_follow_earlier_ones_and_precede_the_release():
    pipelines = [Pipeline.from_env({**BRANCH, "CI_PIPELINE_IID": n}) for n in ("2", "9", "10")]

    versions = [number(pipeline, "1.2.3", published=()) for pipeline in pipelines]

    in_order = [semver.Version.parse(version) for version in ["1.2.2", *versions, "1.2.3"]]
    assert in_order == sorted(in_order)


def test_the_default_branch_is_refused_once_its_release_is_out():
    pipeline = Pipeline.from_env(BRANCH)

    with pytest.raises(UsageError, match=r"^1\.2\.3 is already out: put the next release into"):
        number(pipeline, "1.2.3", published=("1.2.2", "1.2.3"))


@pytest.mark.parametrize(
    "env",
    [MERGE_REQUEST, {**BRANCH, "CI_COMMIT_BRANCH": "feature"}, {}],
    ids=["merge request", "other branch", "no pipeline"],
)
def test_anything_else_publishes_nothing(env):
    pipeline = Pipeline.from_env(env)

    with pytest.raises(UsageError, match="publishes nothing"):
        number(pipeline, "1.2.3", published=())


@pytest.mark.parametrize(
    "release", ["1.2", "v1.2.3", "1.2.3-dev.1", "1.2.3+a", "01.2.3", "", "\u0661.2.3"]
)
def test_a_file_that_holds_no_plain_release_is_refused(release):
    pipeline = Pipeline.from_env(BRANCH)

    with pytest.raises(UsageError, match=r"put the next release there, as X\.Y\.Z$"):
        number(pipeline, release, published=())


@pytest.mark.parametrize("iid", ["", "-1", "1.5", "x"])
def test_a_pipeline_without_a_number_is_refused(iid):
    pipeline = Pipeline.from_env({**BRANCH, "CI_PIPELINE_IID": iid})

    with pytest.raises(UsageError, match="CI_PIPELINE_IID"):
        number(pipeline, "1.2.3", published=())


def test_a_pipeline_keeps_no_token():
    pipeline = Pipeline.from_env(BRANCH)

    assert "glcbt-secret" not in repr(pipeline)
