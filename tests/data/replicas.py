"""Small replicas of the files of public data sets, in their original formats to the byte, with random images."""

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import datasets

from cnn_experiments import data
from cnn_experiments.data import emnist, svhn
from cnn_experiments.data.download import TarArchive

NUM_TRAIN, NUM_TEST = 30, 12


@dataclass(frozen=True)
class Replica:
    """The files of a data set on a mirror, and what is in them."""

    option: str
    """What is typed to use it."""
    remote: Mapping[str, bytes]
    """Content of each file on the mirror, by name."""
    files: Mapping[str, bytes]
    """Content of each file that is kept, by path below `data.root`."""
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def random_images(seed: int, num_images: int, channels: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (num_images, channels, size, size), dtype=torch.uint8, generator=generator)


def random_labels(seed: int, num_images: int, classes: int) -> Tensor:
    """Return labels among which are the first class and the last one."""
    labels = torch.randint(classes, (num_images,), generator=torch.Generator().manual_seed(seed))
    labels[0], labels[1] = 0, classes - 1
    return labels


def make_splits(channels: int, size: int, classes: int) -> list[tuple[Tensor, Tensor]]:
    return [
        (random_images(seed, num_images, channels, size), random_labels(seed, num_images, classes))
        for seed, num_images in enumerate((NUM_TRAIN, NUM_TEST))
    ]


def idx_file(values: NDArray[np.uint8] | NDArray[np.int32]) -> bytes:
    """Return a file of NIST: two zero bytes, a code for the type, the number of dimensions, each of them, the values."""
    code = {"uint8": 0x08, "int32": 0x0C}[str(values.dtype)]
    header = struct.pack(f">HBB{values.ndim}I", 0, code, values.ndim, *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


def idx_files(images: Tensor, labels: Tensor) -> list[bytes]:
    """Return the compressed files of a split in MNIST's format."""
    return [gzip.compress(idx_file(part)) for part in (images[:, 0].numpy(), labels.to(torch.uint8).numpy())]


def mnist(monkeypatch: pytest.MonkeyPatch, name: str = "MNIST") -> Replica:
    """Return a replica of MNIST, FashionMNIST or KMNIST."""
    splits = make_splits(1, 28, 10)
    names = [f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    files = dict(zip(names, (file for split in splits for file in idx_files(*split)), strict=True))
    checksums = {file: md5_of(content) for file, content in files.items()}
    monkeypatch.setattr(getattr(datasets, name), "resources", list(checksums.items()))
    _patch(monkeypatch, getattr(data, name), checksums)
    option = {"MNIST": "mnist", "FashionMNIST": "fashion_mnist", "KMNIST": "kmnist"}[name]
    kept = {f"{name}/raw/{file}": content for file, content in files.items()}
    return Replica(f"data={option}", files, kept, *splits)


def qmnist(monkeypatch: pytest.MonkeyPatch) -> Replica:
    """Return a replica of QMNIST, whose labels are big-endian 32-bit integers in eight columns: the class is the first."""
    splits = make_splits(1, 28, 10)
    files: dict[str, bytes] = {}
    for part, (images, labels) in zip(("train", "test"), splits, strict=True):
        table = np.arange(8 * len(labels), dtype=np.int32).reshape(-1, 8) * 70_000
        table[:, 0] = labels
        files[f"qmnist-{part}-images-idx3-ubyte.gz"] = gzip.compress(idx_file(images[:, 0].numpy()))
        files[f"qmnist-{part}-labels-idx2-int.gz"] = gzip.compress(idx_file(table))
    checksums = {file: md5_of(content) for file, content in files.items()}
    resources = [(f"https://mirror.example/{file}", checksum) for file, checksum in checksums.items()]
    monkeypatch.setattr(datasets.QMNIST, "resources", {"train": resources[:2], "test": resources[2:]})
    _patch(monkeypatch, data.QMNIST, checksums)
    return Replica("data=qmnist", files, {f"QMNIST/raw/{file}": content for file, content in files.items()}, *splits)


def emnist_letters(monkeypatch: pytest.MonkeyPatch) -> Replica:
    """Return a replica of EMNIST: a zip file of compressed files, with transposed images and, of letters, labels from 1."""
    splits = make_splits(1, 28, 26)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("gzip/emnist-letters-mapping.txt", "1 65 97\n")
        for part, (images, labels) in zip(("train", "test"), splits, strict=True):
            contents = idx_files(images.transpose(2, 3), labels + 1)
            for kind, content in zip(("images-idx3", "labels-idx1"), contents, strict=True):
                file.writestr(f"gzip/emnist-letters-{part}-{kind}-ubyte.gz", content)
    files = {"gzip.zip": archive.getvalue()}
    checksums = {"gzip.zip": md5_of(files["gzip.zip"])}
    monkeypatch.setattr(datasets.EMNIST, "md5", checksums["gzip.zip"])
    monkeypatch.setattr(data.EMNIST, "md5", checksums)
    facts = emnist._Split(NUM_TRAIN, NUM_TEST, mean=0.5, std=0.3)
    monkeypatch.setitem(emnist._SPLITS, "letters", facts)
    return Replica("data=emnist data.split=letters", files, {"EMNIST/raw/gzip.zip": files["gzip.zip"]}, *splits)


def cifar(monkeypatch: pytest.MonkeyPatch, classes: int) -> Replica:
    """Return a replica of CIFAR-10 or CIFAR-100: pickles of Python 2 in a compressed tar file."""
    own, reference = getattr(data, f"CIFAR{classes}"), getattr(datasets, f"CIFAR{classes}")
    splits = make_splits(3, 32, classes)
    files: dict[str, bytes] = {}
    for lists, (images, labels) in zip((reference.train_list, reference.test_list), splits, strict=True):
        chunks = zip(images.chunk(len(lists)), labels.chunk(len(lists)), strict=True)
        for (file, _), (batch, classes_of_batch) in zip(lists, chunks, strict=True):
            rows = batch.flatten(1).numpy()
            numbers = classes_of_batch.tolist()
            labels_of_batch = {"labels": numbers} if classes == 10 else {"fine_labels": numbers, "coarse_labels": [0]}
            files[file] = python2_pickle({"batch_label": f"batch of {file}", **labels_of_batch, "data": rows})
    names_key = {10: "label_names", 100: "fine_label_names"}[classes]
    files[reference.meta["filename"]] = python2_pickle({names_key: list(own.class_names)})
    checksums = {file: md5_of(content) for file, content in files.items()}
    content = tar_file({f"{reference.base_folder}/{file}": content for file, content in files.items()})
    for attribute in ("train_list", "test_list"):
        patched = [[file, checksums[file]] for file, _ in getattr(reference, attribute)]
        monkeypatch.setattr(reference, attribute, patched)
    monkeypatch.setattr(reference, "meta", reference.meta | {"md5": checksums[reference.meta["filename"]]})
    _patch(monkeypatch, own, checksums)
    monkeypatch.setattr(own, "archive", TarArchive(reference.filename, md5_of(content)))
    kept = {f"{reference.base_folder}/{file}": content for file, content in files.items()}
    return Replica(f"data=cifar{classes}", {reference.filename: content}, kept, *splits)


def svhn_digits(monkeypatch: pytest.MonkeyPatch) -> Replica:
    """Return a replica of SVHN: MATLAB files with images as the last dimension, and the label 10 for the digit 0."""
    from scipy.io import savemat

    splits = make_splits(3, 32, 10)
    files: dict[str, bytes] = {}
    for part, (images, labels) in zip(("train", "test"), splits, strict=True):
        buffer = io.BytesIO()
        stored_labels = torch.where(labels == 0, 10, labels).to(torch.uint8).unsqueeze(1)
        savemat(buffer, {"X": images.permute(2, 3, 1, 0).numpy(), "y": stored_labels.numpy()}, do_compression=True)
        files[f"{part}_32x32.mat"] = buffer.getvalue()
    checksums = {file: md5_of(content) for file, content in files.items()}
    split_list = {part: ["", f"{part}_32x32.mat", checksums[f"{part}_32x32.mat"]] for part in ("train", "test")}
    monkeypatch.setattr(datasets.SVHN, "split_list", split_list)
    _patch(monkeypatch, svhn.SVHN, checksums)
    return Replica("data=svhn", files, files, *splits)


def _patch(monkeypatch: pytest.MonkeyPatch, module: type, checksums: Mapping[str, str]) -> None:
    monkeypatch.setattr(module, "md5", checksums)
    monkeypatch.setattr(module, "num_train_images", NUM_TRAIN)
    monkeypatch.setattr(module, "num_test_images", NUM_TEST)


def python2_pickle(content: Mapping[str, str | Sequence[object] | NDArray[np.uint8]]) -> bytes:
    """Return the pickle of a dictionary as Python 2 writes it with protocol 2: all strings are bytes."""
    items = b"".join(_opcodes(key) + _opcodes(value) for key, value in content.items())
    return b"\x80\x02}(" + items + b"u."


def _opcodes(value: object) -> bytes:
    match value:
        case str():
            return b"U" + bytes([len(value)]) + value.encode()
        case int():
            return b"K" + bytes([value])
        case list():
            return b"](" + b"".join(map(_opcodes, value)) + b"e"
        case np.ndarray():
            rows, columns = value.shape
            array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            shape = struct.pack("<cHcHc", b"M", rows, b"M", columns, b"\x86")
            dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            pixels = value.tobytes()
            return array + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<I", len(pixels)) + pixels + b"tb"
    raise TypeError(type(value))


def tar_file(files: Mapping[str, bytes]) -> bytes:
    """Return a compressed tar file."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a new directory."""
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
