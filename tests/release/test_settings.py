"""Which project is meant, which token opens it, and what is refused before a token is sent."""

import pytest

from torchcrate.errors import UsageError
from torchcrate.release.settings import Settings

CI = {"CI_API_V4_URL": "https://git.example/sub/api/v4", "CI_PROJECT_ID": "7"}
SECRET = "glpat-very-secret"


@pytest.mark.parametrize(
    ("address", "project"),
    [
        ("https://git.example/api/v4/projects/42", "https://git.example/api/v4/projects/42"),
        ("https://git.example/api/v4/projects/a%2Fb", "https://git.example/api/v4/projects/a%2Fb"),
        (
            "https://git.example/sub/api/v4/projects/42/packages/generic",
            "https://git.example/sub/api/v4/projects/42",
        ),
        ("https://git.example/a/b", "https://git.example/api/v4/projects/a%2Fb"),
        (
            "https://git.example:8443/a/b/c.git",
            "https://git.example:8443/api/v4/projects/a%2Fb%2Fc",
        ),
        ("https://git.example/a/b/-/packages/3", "https://git.example/api/v4/projects/a%2Fb"),
        ("http://127.0.0.1:8080/a/b/", "http://127.0.0.1:8080/api/v4/projects/a%2Fb"),
        ("http://localhost/a/b?x=1#y", "http://localhost/api/v4/projects/a%2Fb"),
    ],
)
def test_an_address_means_one_project(address, project):
    assert Settings.from_env(address, {}).project == project


def test_under_a_sub_path_the_job_knows_where_the_instance_begins():
    settings = Settings.from_env("https://git.example/sub/group/crates", CI)

    assert settings.project == "https://git.example/sub/api/v4/projects/group%2Fcrates"


def test_without_an_address_a_job_means_its_own_project_and_token():
    env = {**CI, "CI_JOB_TOKEN": SECRET, "GITLAB_TOKEN": "other"}

    settings = Settings.from_env(None, env)

    assert settings.project == "https://git.example/sub/api/v4/projects/7"
    assert settings.credential
    assert (settings.credential.header, settings.credential.token) == ("JOB-TOKEN", SECRET)


@pytest.mark.parametrize("missing", CI)
def test_without_an_address_outside_a_job_the_message_says_what_to_give(missing):
    env = {key: value for key, value in CI.items() if key != missing}

    with pytest.raises(UsageError, match=f"{missing}.*name a folder or a GitLab project URL"):
        Settings.from_env(None, env)


@pytest.mark.parametrize(
    ("variable", "header"),
    [
        ("GITLAB_TOKEN", "PRIVATE-TOKEN"),
        ("CI_JOB_TOKEN", "JOB-TOKEN"),
        ("GITLAB_DEPLOY_TOKEN", "DEPLOY-TOKEN"),
    ],
)
def test_each_token_has_its_header(variable, header):
    settings = Settings.from_env("https://git.example/a/b", {variable: f" {SECRET}\n"})

    assert settings.credential
    assert (settings.credential.header, settings.credential.token) == (header, SECRET)


def test_a_job_token_is_not_sent_to_another_gitlab():
    settings = Settings.from_env("https://elsewhere.example/a/b", {**CI, "CI_JOB_TOKEN": SECRET})

    assert settings.credential is None


def test_a_token_is_in_no_repr():
    settings = Settings.from_env("https://git.example/a/b", {"GITLAB_TOKEN": SECRET})

    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)


def test_a_token_that_cannot_be_one_is_refused_unseen():
    with pytest.raises(UsageError, match="GITLAB_TOKEN") as caught:
        Settings.from_env("https://git.example/a/b", {"GITLAB_TOKEN": "two words"})

    assert "two words" not in str(caught.value)


def test_http_to_another_machine_needs_permission():
    with pytest.raises(UsageError, match="not encrypted"):
        Settings.from_env("http://git.example/a/b", {})

    allowed = Settings.from_env("http://git.example/a/b", {}, allow_http=True)
    assert allowed.project.startswith("http://git.example/")


@pytest.mark.parametrize(
    "address",
    [
        "https://git.example",
        "https://git.example/a",
        "ftp://git.example/a/b",
        "https://",
        "://",
        "https://[/a/b",
    ],
)
def test_what_means_no_project_is_refused(address):
    with pytest.raises(UsageError):
        Settings.from_env(address, {})


@pytest.mark.parametrize("password", [SECRET, f"p/{SECRET}", f"p#{SECRET}", f"p@{SECRET}"])
def test_a_password_in_the_address_is_refused_unseen(password):
    with pytest.raises(UsageError, match=r"of git\.example holds a password") as caught:
        Settings.from_env(f"https://me:{password}@git.example/a/b", {})

    assert SECRET not in str(caught.value)
