"""What we publish is read by the tools that others use: curl, sha256sum, python-gitlab."""

import subprocess

import gitlab as python_gitlab
import pytest

from torchcrate.errors import RegistryError
from torchcrate.release.publish import publish


@pytest.mark.parametrize("header", ["PRIVATE-TOKEN: glpat-developer", "JOB-TOKEN: glcbt-job"])
def test_curl_and_sha256sum_accept_every_file(crate, gitlab, tmp_path, header):
    publish(crate, gitlab.registry())
    names = sorted(path.name for path in crate.iterdir())

    for name in names:
        url = gitlab.url("mnist-net", "1.0.0", name)
        curl = ["curl", "--fail", "--silent", "--noproxy", "*", "--remote-name"]
        subprocess.run([*curl, "--header", header, url], cwd=tmp_path, check=True)
    checked = _sha256sum(tmp_path, "--strict")

    assert checked.returncode == 0
    assert checked.stdout.count(": OK\n") == len(names) - 1


def test_sha256sum_refuses_a_damaged_file(crate):
    (crate / "model.pt").write_bytes(b"another model")

    checked = _sha256sum(crate, "--quiet")

    assert checked.returncode == 1
    assert checked.stdout == "model.pt: FAILED\n"


def test_python_gitlab_lists_and_downloads_the_version(crate, gitlab):
    publish(crate, gitlab.registry())
    with python_gitlab.Gitlab(gitlab.root, private_token="glpat-developer", timeout=10) as client:
        project = client.projects.get(42, lazy=True)

        [package] = project.packages.list(package_name="mnist-net", get_all=True)
        files = {file.file_name: file for file in package.package_files.list(get_all=True)}
        data = project.generic_packages.download("mnist-net", "1.0.0", "model.onnx")

    assert (package.version, package.status) == ("1.0.0", "default")
    assert set(files) == {path.name for path in crate.iterdir()}
    assert data == (crate / "model.onnx").read_bytes()


def test_python_gitlab_sees_no_version_that_is_not_finished(crate, gitlab, hasty):
    gitlab.fault("500", times=0, method="PUT", file="/manifest.json")
    with pytest.raises(RegistryError, match="500"):
        publish(crate, gitlab.registry(patience=hasty))

    with python_gitlab.Gitlab(gitlab.root, private_token="glpat-developer", timeout=10) as client:
        packages = client.projects.get(42, lazy=True).packages.list(get_all=True)

    assert packages == []


def _sha256sum(folder, *options):
    command = ["sha256sum", "--check", *options, "SHA256SUMS"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)
