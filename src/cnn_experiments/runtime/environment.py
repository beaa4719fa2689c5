"""What a run ran on: versions, commit, device, memory."""

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path

import torch

from cnn_experiments.runtime.memory import return_freed_memory

_PACKAGES = ("cnn_experiments", "torchvision", "lightning", "torchmetrics", "hydra-core", "omegaconf")


def versions() -> dict[str, str]:
    """Python's and the packages' versions."""
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    torch_build = str(torch.__version__)  # with the CUDA it is built for, which the package's version leaves out
    return {"python": platform.python_version(), "torch": torch_build} | packages


def git_commit() -> str | None:
    """The commit of the working directory, with `-dirty` behind it where files differ; None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        described = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()


def device_name(device: torch.device) -> str:
    """The kind of device and its model: `cuda (NVIDIA H200)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({_processor()})"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def restart_peak_memory(device: torch.device) -> None:
    """Forgets the peak so far, so that several runs in one process can be told apart."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform.startswith("linux"):
        return_freed_memory()
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except PermissionError:  # the peak of the whole process is then what there is
            return


def peak_memory(device: torch.device) -> int:
    """Bytes: of the GPU's memory there, of the process's resident memory elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform.startswith("linux"):
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
