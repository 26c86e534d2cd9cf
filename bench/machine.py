"""What every figure depends on, stated without naming the machine."""

import os
import platform
from importlib import metadata
from pathlib import Path

from torchcrate.cores import cores

_THREADS = (
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS"),
    *("OPENBLAS_NUM_THREADS", "OPENBLAS_THREAD_TIMEOUT"),
)
_PACKAGES = ("torch", "onnxruntime", "numpy", "pillow")


def described() -> dict[str, str]:
    """Return processor, cores, memory, load, and the versions of what computes."""
    found = {
        "processor": _named("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": str(cores()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    # What decides how many threads a runtime takes by itself, and how they wait.
    found |= {name: os.environ[name] for name in _THREADS if name in os.environ}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _named(path: str, key: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    values = [line.partition(":")[2].strip() for line in lines if line.startswith(key)]
    return values[0] if values else ""
