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
    env = {**CI, variable: f" {SECRET}\n"}

    settings = Settings.from_env("https://git.example/a/b", env)

    assert settings.credential
    assert (settings.credential.header, settings.credential.token) == (header, SECRET)


@pytest.mark.parametrize(
    "env",
    [
        CI,
        {},
        {**CI, "GITLAB_HOST": "elsewhere.example"},
        {"TORCHCRATE_REGISTRY": "https://elsewhere.example/a/b"},
    ],
)
def test_a_job_token_is_not_sent_to_another_gitlab(env):
    settings = Settings.from_env("https://elsewhere.example/a/b", {**env, "CI_JOB_TOKEN": SECRET})

    assert (settings.credential, settings.withheld) == (None, "")


HERE = "https://git.example/a/b"


@pytest.mark.parametrize(
    ("address", "env"),
    [
        (HERE, {"GITLAB_HOST": "git.example"}),
        (HERE, {"GITLAB_HOST": " https://GIT.example:443/ "}),
        (HERE, {"TORCHCRATE_REGISTRY": "https://git.example/c/d"}),
        (HERE, CI),
        (HERE, {**CI, "TORCHCRATE_REGISTRY": "https://other.example/a/b"}),
        ("https://other.example/a/b", {**CI, "TORCHCRATE_REGISTRY": "https://other.example/a/b"}),
        ("https://git.example:8443/a/b", {"GITLAB_HOST": "git.example:8443"}),
        ("https://gitlab.com/a/b", {}),
        ("https://gitlab.com/a/b", {"TORCHCRATE_REGISTRY": "build/registry"}),
        ("http://127.0.0.1:8080/a/b", {}),
        ("http://127.0.0.1:8080/a/b", {"GITLAB_HOST": "git.example"}),
    ],
)
@pytest.mark.parametrize("variable", ["GITLAB_TOKEN", "GITLAB_DEPLOY_TOKEN"])
def test_a_token_goes_to_the_gitlab_that_the_environment_says_it_is_of(address, env, variable):
    settings = Settings.from_env(address, {**env, variable: SECRET})

    assert settings.credential
    assert settings.credential.token == SECRET


@pytest.mark.parametrize(
    ("address", "env"),
    [
        (HERE, {}),
        (HERE, {"GITLAB_HOST": "gitlab.com"}),
        (HERE, {"GITLAB_HOST": "other.example", "TORCHCRATE_REGISTRY": HERE}),
        (HERE, {"GITLAB_HOST": "git.example:8443"}),
        (HERE, {"GITLAB_HOST": "http://git.example"}),
        (HERE, {"TORCHCRATE_REGISTRY": "build/registry"}),
        ("https://git.example.evil.example/a/b", {"GITLAB_HOST": "git.example"}),
        ("https://gitlab.com/a/b", {"TORCHCRATE_REGISTRY": HERE}),
        ("https://gitlab.com/a/b", CI),
    ],
)
def test_a_token_of_another_gitlab_is_kept_and_the_hint_says_what_to_set(address, env):
    settings = Settings.from_env(address, {**env, "GITLAB_TOKEN": SECRET})

    host = address.removesuffix("/a/b")
    assert settings.credential is None
    assert settings.stranger_hint == (
        f"GITLAB_TOKEN was not sent there: set GITLAB_HOST={host} if it is of that GitLab"
    )


def test_the_first_token_that_is_of_the_gitlab_is_taken():
    env = {**CI, "GITLAB_HOST": "other.example", "GITLAB_TOKEN": "other", "CI_JOB_TOKEN": SECRET}

    settings = Settings.from_env(HERE, env)

    assert settings.credential
    assert settings.credential.token == SECRET


def test_a_host_that_is_none_is_refused_unseen():
    env = {"TORCHCRATE_REGISTRY": f"https://me:p/{SECRET}@git.example/a", "GITLAB_TOKEN": "token"}

    with pytest.raises(UsageError, match="GITLAB_HOST or TORCHCRATE_REGISTRY") as caught:
        Settings.from_env(HERE, env)

    assert SECRET not in str(caught.value)


def test_a_token_is_in_no_repr():
    settings = Settings.from_env("https://gitlab.com/a/b", {"GITLAB_TOKEN": SECRET})

    assert settings.credential
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)


def test_a_token_that_cannot_be_one_is_refused_unseen():
    with pytest.raises(UsageError, match="GITLAB_TOKEN") as caught:
        Settings.from_env("https://gitlab.com/a/b", {"GITLAB_TOKEN": "two words"})

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
        "https://git.example:99999/a/b",
        "https://git example/a/b",
        "https://git<example/a/b",
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
