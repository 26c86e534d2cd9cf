"""The version of a pipeline follows from its tag or branch and from what the repository states."""

import pytest
import semver

from torchcrate.errors import UsageError
from torchcrate.release.manifest import check_version
from torchcrate.release.numbering import Pipeline, number
from torchcrate.release.origin import NextRelease, next_release, version_of

BRANCH = {
    "CI_COMMIT_BRANCH": "main",
    "CI_DEFAULT_BRANCH": "main",
    "CI_PIPELINE_IID": "17",
    "CI_JOB_TOKEN": "glcbt-secret",
}
TAG = {"CI_COMMIT_TAG": "v1.2.3", "CI_DEFAULT_BRANCH": "main", "CI_PIPELINE_IID": "18"}
NEXT = NextRelease("1.2.3", "VERSION")
MERGE_REQUEST = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_DEFAULT_BRANCH": "main",
    "CI_PIPELINE_IID": "19",
}


def test_a_tag_publishes_the_release_it_names():
    pipeline = Pipeline.from_env(TAG)

    version = number(pipeline, NEXT, published=())

    assert version == "1.2.3"


def test_a_tag_may_run_again_when_its_release_is_out():
    pipeline = Pipeline.from_env(TAG)

    version = number(pipeline, NEXT, published=("1.2.3",))

    assert version == "1.2.3"


@pytest.mark.parametrize("tag", ["v1.2.4", "1.2.3", "v1.2.3-rc.1", "v1.2", "V1.2.3", "v1.2.3 "])
def test_a_tag_that_differs_from_the_file_is_refused(tag):
    pipeline = Pipeline.from_env({**TAG, "CI_COMMIT_TAG": tag})

    with pytest.raises(UsageError, match=r"but VERSION holds 1\.2\.3: tag the commit v1\.2\.3"):
        number(pipeline, NEXT, published=())


def test_the_default_branch_publishes_a_numbered_step_towards_the_release():
    pipeline = Pipeline.from_env(BRANCH)

    version = number(pipeline, NEXT, published=("1.2.2", "1.2.3-dev.16"))

    assert version == "1.2.3-dev.17"
    assert check_version(version) == version


def test_versions_of_later_pipelines_follow_earlier_ones_and_precede_the_release():
    pipelines = [Pipeline.from_env({**BRANCH, "CI_PIPELINE_IID": n}) for n in ("2", "9", "10")]

    versions = [number(pipeline, NEXT, published=()) for pipeline in pipelines]

    in_order = [semver.Version.parse(version) for version in ["1.2.2", *versions, "1.2.3"]]
    assert in_order == sorted(in_order)


def test_the_default_branch_is_refused_once_its_release_is_out():
    pipeline = Pipeline.from_env(BRANCH)

    with pytest.raises(UsageError, match=r"^1\.2\.3 is already out: put the next release into"):
        number(pipeline, NEXT, published=("1.2.2", "1.2.3"))


@pytest.mark.parametrize(
    "env",
    [MERGE_REQUEST, {**BRANCH, "CI_COMMIT_BRANCH": "feature"}, {}],
    ids=["merge request", "other branch", "no pipeline"],
)
def test_anything_else_publishes_nothing(env):
    pipeline = Pipeline.from_env(env)

    with pytest.raises(UsageError, match="publishes nothing"):
        number(pipeline, NEXT, published=())


@pytest.mark.parametrize(
    "release", ["1.2", "v1.2.3", "1.2.3-dev.1", "1.2.3+a", "01.2.3", "", "\u0661.2.3"]
)
def test_a_file_that_holds_no_plain_release_is_refused(release):
    pipeline = Pipeline.from_env(BRANCH)

    with pytest.raises(UsageError, match=r"put the next release there, as X\.Y\.Z$"):
        number(pipeline, NextRelease(release, "VERSION"), published=())


@pytest.mark.parametrize("iid", ["", "-1", "1.5", "x"])
def test_a_pipeline_without_a_number_is_refused(iid):
    pipeline = Pipeline.from_env({**BRANCH, "CI_PIPELINE_IID": iid})

    with pytest.raises(UsageError, match="CI_PIPELINE_IID"):
        number(pipeline, NEXT, published=())


def test_a_pipeline_keeps_no_token():
    pipeline = Pipeline.from_env(BRANCH)

    assert "glcbt-secret" not in repr(pipeline)


def test_without_a_file_the_tag_alone_says_what_it_publishes():
    pipeline = Pipeline.from_env(TAG)

    assert number(pipeline, None, published=("9.9.9",)) == "1.2.3"


@pytest.mark.parametrize("tag", ["1.2.3", "v1.2", "v1.2.3-rc.1", "v01.2.3", "vv1.2.3", "v"])
def test_without_a_file_a_tag_that_names_no_release_is_refused(tag):
    pipeline = Pipeline.from_env({**TAG, "CI_COMMIT_TAG": tag})

    with pytest.raises(UsageError, match=rf"^the tag is {tag}: tag the commit vX\.Y\.Z$"):
        number(pipeline, None, published=())


@pytest.mark.parametrize(
    ("published", "version"),
    [
        ((), "0.1.0-dev.17"),
        (("0.1.0-dev.3",), "0.1.0-dev.17"),
        (("0.9.0", "0.10.0", "0.10.1-dev.4"), "0.10.1-dev.17"),
    ],
)
def test_without_a_file_the_branch_counts_towards_the_patch_after_what_is_out(published, version):
    pipeline = Pipeline.from_env(BRANCH)

    assert number(pipeline, None, published) == version


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        ({"VERSION": "1.2.3\n"}, NextRelease("1.2.3", "VERSION")),
        (
            {"pyproject.toml": '[project]\nversion = "2.0.0"'},
            NextRelease("2.0.0", "pyproject.toml"),
        ),
        ({"pyproject.toml": '[project]\ndynamic = ["version"]'}, None),
        ({"pyproject.toml": "[tool.torchcrate]"}, None),
        (
            {"VERSION": "1.2.3", "pyproject.toml": '[project]\nversion = "2.0.0"'},
            NextRelease("1.2.3", "VERSION"),
        ),
    ],
    ids=["nothing", "VERSION", "a project", "dynamic", "no project", "both"],
)
def test_the_file_version_comes_before_the_project(tmp_path, files, found):
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    assert next_release(tmp_path) == found


def test_a_folder_that_states_no_version_is_told_where_one_could_stand(tmp_path):
    with pytest.raises(UsageError, match=r"states no version: pass --version, or write one"):
        version_of(tmp_path)


def test_a_project_that_is_no_toml_is_one_line(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project")

    with pytest.raises(UsageError, match=r"pyproject\.toml cannot be read: "):
        next_release(tmp_path)


def test_a_refusal_names_the_file_that_holds_the_release():
    pipeline = Pipeline.from_env(BRANCH)

    with pytest.raises(UsageError, match=r"put the next release into pyproject\.toml$"):
        number(pipeline, NextRelease("1.2.3", "pyproject.toml"), published=("1.2.3",))
