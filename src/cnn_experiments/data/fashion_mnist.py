"""Fashion-MNIST (Xiao et al., 2017, https://arxiv.org/abs/1708.07747): 60,000 training and 10,000 test images."""

import functools
import gzip
import logging
import shutil
import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torchvision
from filelock import FileLock
from torch import Tensor
from torchvision.datasets.utils import check_integrity

from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.errors import RunFailedError

log = logging.getLogger(__name__)

MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "https://s3.eu-central-1.amazonaws.com/fashion-mnist/",
)
_CONNECT_SECONDS = 8.0
"""How long a mirror may take to answer; all are asked at once."""
_STALL_SECONDS = 10.0
"""How long a download may stand still."""
_PARTIAL = ".fashion_mnist-"
"""A folder of this prefix holds a download under way."""


class _Archives(torchvision.datasets.FashionMNIST):  # type: ignore[misc]
    """torchvision's own download and checksums, from one mirror."""

    def __init__(self, root: Path, mirror: str) -> None:
        self.mirrors = [mirror]
        super().__init__(root, download=True)

    @property
    def raw_folder(self) -> str:
        return str(_raw(Path(self.root)))


_MD5 = dict(_Archives.resources)


def _raw(root: Path) -> Path:
    return root / "FashionMNIST" / "raw"


def _intact(root: Path, name: str) -> bool:
    intact: bool = check_integrity(_raw(root) / name, _MD5[name])
    return intact


def _whole(root: Path) -> bool:
    return all(_intact(root, name) for name in _MD5)


def _answering(mirrors: Sequence[str]) -> list[str]:
    """The mirrors that start to deliver the first archive in time, in the order given."""
    answered: set[str] = set()

    def knock(mirror: str) -> None:
        try:
            urllib.request.urlopen(mirror + next(iter(_MD5)), timeout=_CONNECT_SECONDS).close()  # noqa: S310
        except OSError as error:
            log.warning("%s does not answer: %s", mirror, error)
        else:
            answered.add(mirror)

    # Daemon threads: a name look-up knows no timeout, and a hanging one must not keep the program from ending.
    threads = [threading.Thread(target=knock, args=(mirror,), daemon=True) for mirror in mirrors]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _CONNECT_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [mirror for mirror in mirrors if mirror in answered]


@contextmanager
def _stall_limit() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALL_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def fetch(root: Path, mirrors: Sequence[str] = MIRRORS) -> None:
    """Puts the four archives under `root`, checked, from the first mirror that delivers them.

    Several processes may call it at once: one downloads, the others wait. No archive appears under `root` before all
    four are whole.

    Raises:
        RunFailedError: no mirror delivers them.
    """
    if _whole(root):
        return
    answering = _answering(mirrors)  # before the lock, so that processes without a network do not wait for each other
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFailedError(f"data.root={root}: this folder can't be made ({error.strerror})") from error
    with FileLock(root / ".fashion_mnist.lock"):
        if _whole(root):
            return
        damaged = [name for name in _MD5 if (_raw(root) / name).exists() and not _intact(root, name)]
        for name in damaged:
            log.warning("%s is damaged: its MD5 is not %s; downloading it again", _raw(root) / name, _MD5[name])
        for killed in root.glob(f"{_PARTIAL}*"):
            shutil.rmtree(killed)
        for mirror in answering:
            log.info("downloading Fashion-MNIST (30 MB) from %s", mirror)
            with tempfile.TemporaryDirectory(dir=root, prefix=_PARTIAL) as folder, _stall_limit():
                try:
                    _Archives(Path(folder), mirror)
                except (OSError, RuntimeError) as error:
                    log.warning("%s failed: %s", mirror, " ".join(str(error).split()))
                    continue
                _raw(root).mkdir(parents=True, exist_ok=True)
                for name in _MD5:
                    (_raw(Path(folder)) / name).replace(_raw(root) / name)
                return
    wrong = f"{', '.join(damaged)} damaged (wrong MD5) and " if damaged else ""
    raise RunFailedError(
        f"Fashion-MNIST can't be had: {wrong}no mirror delivers it. Put {', '.join(_MD5)} into "
        f"{_raw(root).absolute()}, or train without a download: python -m cnn_experiments data=digits"
    )


@functools.lru_cache(maxsize=2)
def _load(root: Path, train: bool) -> tuple[Tensor, Tensor]:
    part = "train" if train else "t10k"

    def read(kind: str, header: int) -> Tensor:
        path = _raw(root) / f"{part}-{kind}-ubyte.gz"
        return torch.frombuffer(bytearray(gzip.decompress(path.read_bytes())), dtype=torch.uint8, offset=header)

    return read("images-idx3", header=16).view(-1, 1, 28, 28), read("labels-idx1", header=8).long()


class FashionMNIST(ImageDataModule):
    """Grey images of clothes, 28 x 28, in ten classes; `root` holds FashionMNIST/raw with the four archives."""

    class_names = tuple(torchvision.datasets.FashionMNIST.classes)
    native_size = 28
    train_images = 60_000
    test_images = 10_000
    mean = 0.2860
    std = 0.3530

    def __init__(self, *, root: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.root = Path(root).expanduser()

    def prepare_data(self) -> None:
        """Downloads what is missing or damaged.

        Raises:
            RunFailedError: that is not possible.
        """
        fetch(self.root)

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Straight out of the archives, which prepare_data has checked."""
        return _load(self.root.absolute(), train)
