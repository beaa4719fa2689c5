"""Resized images in a file that is made once, by one of several processes, and mapped into memory by all of them."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.console import print_line
from cnn_experiments.errors import error_message
from cnn_experiments.runtime.memory import total_memory

_MEMORY_SHARE = 0.5
"""Of the memory of this machine, that images may need which can't be kept in a file."""
_SPARE_BYTES = 2**20
"""What must be free beside the images, for the header of the file and the lock."""
_TEMPORARY_SUFFIX = ".writing"
_in_memory: dict[Path, Tensor] = {}
"""The last images that no file could keep, by the file's path: a process asks for them several times."""


def cache_directory(typed: str | None) -> Path:
    """Return the directory of the resized images; by default, where programs of this user keep what can be made again.

    Raises:
        ArgumentError: the default is below the user's home directory, and there is none.
    """
    directory = os.path.expanduser(typed or os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    if typed:
        return Path(directory)
    if directory.startswith("~"):  # Path's own expanduser raises
        raise ArgumentError("cache", None, "must be a directory: this user has no home directory for the default")
    return Path(directory) / "cnn_experiments"


def load_or_make(directory: Path, name: str, shape: tuple[int, ...], images: Iterable[Tensor]) -> Tensor:
    """Return images from a file, which is made if it is not there, or damaged.

    Several processes may call this at once: one makes the file, the others wait. It appears when it is complete. Where
    no file can be kept, the images are made in memory.

    Args:
        directory: which is made if it is missing.
        name: of the file, a hash of all that the images depend on.
        shape: (N, C, H, W).
        images: makes the images, uint8 (C, H, W), one after the other. It is read only if they have to be made.

    Returns:
        uint8 (N, C, H, W), mapped into memory: the system reads what is used, and keeps it while there is memory.

    Raises:
        ArgumentError: there is neither room in the directory nor memory.
    """
    path = directory / f"{name}.npy"
    kept = _open(path, shape)
    if kept is None and (problem := _directory_problem(directory, shape)):
        return _make_in_memory(path, problem, shape, images)
    if kept is None:
        with FileLock(directory / f"{name}.lock"):
            kept = _open(path, shape)
            if kept is None:
                _write(path, shape, images)
                kept = _open(path, shape)
    assert kept is not None
    return kept


def _open(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    """Return the images of a file, mapped into memory, or None if there is none that is complete and can be read."""
    try:
        # `c`: torch takes no array that is read-only, and nothing writes into this one.
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return torch.from_numpy(array) if (array.dtype, array.shape) == (np.uint8, shape) else None


def _directory_problem(directory: Path, shape: tuple[int, ...]) -> str | None:
    """Return why no file of images can be kept in a directory, or None if one can."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
        free = shutil.disk_usage(directory).free
    except OSError as error:
        return error_message(error)
    needed = int(np.prod(shape)) + _SPARE_BYTES
    return None if free >= needed else f"{needed:,} bytes are needed, {free:,} are free"


def _write(path: Path, shape: tuple[int, ...], images: Iterable[Tensor]) -> None:
    """Write a .npy file; written and not mapped, because a full disk would end the process of a mapped one."""
    temporary = path.with_suffix(_TEMPORARY_SUFFIX)  # of the process that has the lock
    try:
        with temporary.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for image in images:
                file.write(image.numpy().tobytes())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        print_line(f"kept in {path}")
    except OSError as error:
        raise ArgumentError(
            "cache", str(path.parent), f"must be a directory to write into: {error_message(error)}"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _make_in_memory(path: Path, problem: str, shape: tuple[int, ...], images: Iterable[Tensor]) -> Tensor:
    if path in _in_memory:
        return _in_memory[path]
    _in_memory.clear()
    directory = path.parent
    num_bytes = int(np.prod(shape))
    if num_bytes > _MEMORY_SHARE * total_memory():
        problem = (
            f"must be a directory for {num_bytes:,} bytes of images, which memory can't hold; {directory}: {problem}"
        )
        raise ArgumentError("cache", str(directory), problem)
    print_line(f"the images are resized in memory, because they can't be kept in {directory}: {problem}", "yellow")
    resized = torch.empty(shape, dtype=torch.uint8)
    for place, image in enumerate(images):
        resized[place] = image
    _in_memory[path] = resized
    return resized
