"""An address means a folder or a project; `latest` means what SemVer says."""

import itertools
import subprocess
import sys

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st

from torchcrate.errors import UsageError
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.gitlab import GitLabRegistry
from torchcrate.release.reference import in_order, split_exact, split_reference
from torchcrate.release.registry import open_registry

PART = st.integers(0, 99).map(str)
WORD = st.text("0123456789abcdefABCDEF-", min_size=1, max_size=4)
VERSIONS = st.builds(
    lambda numbers, pre: ".".join(numbers) + ("-" + ".".join(pre) if pre else ""),
    st.tuples(PART, PART, PART),
    st.lists(WORD, max_size=3),
).filter(semver.Version.is_valid)


@given(st.lists(VERSIONS, max_size=20))
def test_versions_are_in_the_order_of_semver(versions):
    ordered = in_order(versions)

    assert set(ordered) == set(versions)
    read = map(semver.Version.parse, ordered)
    assert all(one <= other for one, other in itertools.pairwise(read))


def test_what_is_no_version_of_ours_is_left_out():
    assert in_order(["1.0.0", "v1.0.0", "1.0", "1.0.0+build", "latest", "None"]) == ("1.0.0",)


def test_a_path_is_a_folder(tmp_path):
    with open_registry(str(tmp_path), {}) as registry:
        assert isinstance(registry, FolderRegistry)


def test_a_url_is_a_gitlab():
    with open_registry("https://git.example/a/b", {}) as registry:
        assert isinstance(registry, GitLabRegistry)
        assert registry.where == "https://git.example/api/v4/projects/a%2Fb"


@pytest.mark.parametrize("address", ["", None, "file:///registry", "https://git.example"])
def test_an_address_that_means_nothing_is_refused(address):
    with pytest.raises(UsageError), open_registry(address, {}):
        pass


def test_a_reference_is_a_name_and_a_version():
    assert split_reference("mnist-net@1.0.0-dev.3") == ("mnist-net", "1.0.0-dev.3")
    assert split_reference("mnist-net@latest") == ("mnist-net", "latest")
    assert split_reference("mnist-net@>=1,<2") == ("mnist-net", ">=1,<2")


@pytest.mark.parametrize("version", ["latest", "^1", "1", "1.0", ">=1,<2"])
def test_what_may_be_another_version_tomorrow_names_none_for_good(version):
    assert split_exact("mnist-net@1.0.0") == ("mnist-net", "1.0.0")
    with pytest.raises(UsageError, match="name the one that is meant"):
        split_exact(f"mnist-net@{version}")


def test_publishing_and_pulling_need_neither_torch_nor_numpy():
    program = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['numpy'] = None\n"
        "import torchcrate.release.publish, torchcrate.release.pull, torchcrate.release.gitlab\n"
        "import torchcrate.release.folder\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stderr == ""
    assert done.returncode == 0


def test_a_folder_is_used_without_loading_the_http_client(tmp_path):
    program = (
        "import sys\n"
        "from torchcrate.release.pull import pull\n"
        "from torchcrate.release.registry import open_registry\n"
        "with open_registry(sys.argv[1], {}): pass\n"
        "sys.exit('httpx' in sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)])

    assert done.returncode == 0
