"""What is needed to repeat a run and to compare it: settings, versions, device, memory."""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from cnn_experiments.allocator import return_freed_memory
from cnn_experiments.settings import FACTS, flat

_PACKAGES = ("cnn_experiments", "torchvision", "lightning", "torchmetrics", "hydra-core", "omegaconf")

_NO_EFFECT = ("ckpt_path", "data.root", "trainer.accelerator", *FACTS)
"""Settings that leave the result as it is, or that follow from others."""


FOR_SPEED = ("compile", "memory_format")
"""Settings that change the result by rounding alone."""

_OF_ONE_RUN = ("seed", "data.seed", *FOR_SPEED)


def effective(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that change the result, with dotted keys."""
    return {key: value for key, value in flat(settings).items() if key not in _NO_EFFECT}


def identity(settings: Mapping[str, Any]) -> str:
    """A hash of the settings that change the result: equal for runs that repeat each other."""
    normalised = {key: _as_float(value) for key, value in effective(settings).items()}
    return hashlib.sha256(json.dumps(normalised, sort_keys=True).encode()).hexdigest()[:16]


def configuration(settings: Mapping[str, Any]) -> str:
    """The same without the seed and what is for speed alone: equal for runs that may be averaged."""
    return identity({key: value for key, value in flat(settings).items() if key not in _OF_ONE_RUN})


def _as_float(value: Any) -> Any:
    """1 and 1.0 are the same setting."""
    if isinstance(value, list):
        return [_as_float(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


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
