"""Keys for signing, a signed version, and the small models to do harm to."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from torchcrate.release.folder import FolderRegistry
from torchcrate.release.publish import publish
from torchcrate.release.trust.signature import Signer

HERE = Path(__file__).parent

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(HERE.parent)
    import tiny as models


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ours.pem, theirs.pem, their public halves, and keys of no use."""
    folder = tmp_path_factory.mktemp("keys")
    curves = {"ours": "prime256v1", "theirs": "prime256v1", "wide": "secp521r1", "odd": "secp256k1"}
    commands = [
        f"openssl ecparam -name {curve} -genkey -noout -out {name}.pem\n"
        f"openssl pkey -in {name}.pem -pubout -out {name}.pub.pem"
        for name, curve in curves.items()
    ]
    commands += [
        "openssl genrsa -out rsa.pem 2048 && openssl pkey -in rsa.pem -pubout -out rsa.pub.pem",
        "openssl pkcs8 -topk8 -v2 aes256 -passout pass:hush -in ours.pem -out locked.pem",
        "echo 'years of work' > thesis.txt",
    ]
    script = "\n".join(commands)
    subprocess.run(["bash", "-ec", script], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def signer(keys: Path) -> Signer:
    """Our key."""
    return Signer.from_file(keys / "ours.pem")


@pytest.fixture
def tiny() -> ModuleType:
    """What makes the small models."""
    return models


@pytest.fixture
def shelf(tmp_path: Path) -> FolderRegistry:
    """An empty folder registry."""
    return FolderRegistry(tmp_path / "shelf")


@pytest.fixture
def put(shelf: FolderRegistry, tmp_path: Path) -> Callable[..., Path]:
    """Publish a crate to `shelf` and return the folder where its files then lie."""

    def put(crate: Path, version: str = "1.0.0", signer: Signer | None = None) -> Path:
        stored = tmp_path / "shelf" / "mnist-net" / version
        shutil.rmtree(stored, ignore_errors=True)
        publish(crate, shelf, signer=signer)
        return stored

    return put
