"""What a run was executed with: package versions, commit and device."""

import importlib.metadata
import platform
import subprocess
from contextlib import suppress
from pathlib import Path

import torch

_PACKAGES = ("cnn_experiments", "torchvision", "lightning", "torchmetrics", "hydra-core", "omegaconf")


def versions() -> dict[str, str]:
    """Return the versions of Python, torch and the other packages that are installed as distributions."""
    torch_build = str(torch.__version__)  # names the CUDA version too, which the distribution's version lacks
    packages = {"python": platform.python_version(), "torch": torch_build}
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):  # such as a checkout on PYTHONPATH
            packages[name] = importlib.metadata.version(name)
    return packages


def git_commit() -> str | None:
    """Return the commit of the working directory, with the suffix `-dirty` if tracked files differ from it.

    Returns None outside a repository and if git is not installed.
    """
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        description = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return description.stdout.strip()


def device_name(device: torch.device) -> str:
    """Return the type of a device and its model, such as `cuda (NVIDIA H200)`."""
    model = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_model()
    return f"{device.type} ({model})"


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
