"""Tests of the public data sets, on replicas of their files: downloading, keeping and reading them."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import datasets

from cnn_experiments import data as data_sets
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.data import download
from cnn_experiments.data.downloaded import DownloadedDataModule
from cnn_experiments.errors import RunFailedError
from cnn_experiments.training.build import build_data
from tests.data import replicas
from tests.data.mirror import Server
from tests.data.replicas import NUM_TEST, NUM_TRAIN, Replica

MAKERS: dict[str, Callable[[pytest.MonkeyPatch], Replica]] = {
    "mnist": replicas.mnist,
    "fashion_mnist": partial(replicas.mnist, name="FashionMNIST"),
    "kmnist": partial(replicas.mnist, name="KMNIST"),
    "qmnist": replicas.qmnist,
    "emnist": replicas.emnist_letters,
    "cifar10": partial(replicas.cifar, classes=10),
    "cifar100": partial(replicas.cifar, classes=100),
    "svhn": replicas.svhn_digits,
}
KINDS = ["mnist", "emnist", "cifar10", "svhn"]
"""One data set of each kind of file: .gz, .zip, .tar.gz and .mat."""

PUBLIC = {
    name: module
    for name, module in vars(data_sets).items()
    if isinstance(module, type) and issubclass(module, DownloadedDataModule)
}


@pytest.fixture
def replica(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Replica:
    """Return the replica of a data set."""
    return MAKERS[request.param](monkeypatch)


@pytest.fixture
def mirror(replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Return a mirror of the replica, which is the only one of all data sets."""
    replicas.write_files(tmp_path / "mirror", replica.remote)
    server = Server(tmp_path / "mirror")
    for module in PUBLIC.values():
        monkeypatch.setattr(module, "mirrors", (server.url,))
    yield server
    server.close()


def make_data(replica: Replica, root: Path, *overrides: str) -> DownloadedDataModule:
    own = ["data.val_size=0", "data.batch_size=4", f"data.root={root}"]
    config = ComposedConfig.from_overrides(*replica.option.split(), *own, *overrides)
    config.validate()
    data = build_data(config.settings)
    assert isinstance(data, DownloadedDataModule)
    return data


def files_below(root: Path) -> dict[str, bytes]:
    """Return the content of all files below `root` but the lock."""
    paths = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def assert_equal(split: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    for part, expected_part in zip(split, expected, strict=True):
        assert part.dtype == expected_part.dtype
        assert torch.equal(part, expected_part)


@pytest.mark.parametrize("replica", MAKERS, indirect=True)
def test_images_are_downloaded_kept_as_by_torchvision_and_read_to_the_byte(
    replica: Replica, mirror: Server, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    data = make_data(replica, root)
    data.prepare_data()
    assert files_below(root) == replica.files
    assert_equal(data.load_checked(train=True), replica.train)
    assert_equal(data.load_checked(train=False), replica.test)
    assert all(part.is_contiguous() for train in (True, False) for part in data.load(train))
    num_requests = len(mirror.requests)
    make_data(replica, root).prepare_data()
    assert len(mirror.requests) == num_requests


def read_by_torchvision(option: str, root: Path, train: bool) -> tuple[Tensor, Tensor]:
    """Return a split of the files in `root`, without a download: where a file is missing, there is no network."""
    match option.split():
        case ["data=svhn"]:
            svhn: Any = datasets.SVHN(root, split="train" if train else "test")
            return torch.from_numpy(svhn.data), torch.from_numpy(svhn.labels)
        case ["data=cifar10" | "data=cifar100" as typed]:
            cifar: Any = getattr(datasets, typed.removeprefix("data=").upper())(root, train=train)
            return torch.from_numpy(cifar.data).permute(0, 3, 1, 2), torch.tensor(cifar.targets)
        case ["data=emnist", _]:
            emnist: Any = datasets.EMNIST(root, split="letters", train=train, download=True)
            return emnist.data.unsqueeze(1).transpose(2, 3), emnist.targets - 1
        case ["data=qmnist"]:
            qmnist: Any = datasets.QMNIST(root, train=train, download=True)
            return qmnist.data.unsqueeze(1), qmnist.targets[:, 0]
        case [typed]:
            name = {"data=mnist": "MNIST", "data=fashion_mnist": "FashionMNIST", "data=kmnist": "KMNIST"}[typed]
            mnist: Any = getattr(datasets, name)(root, train=train, download=True)
            return mnist.data.unsqueeze(1), mnist.targets
    raise ValueError(option)


@pytest.mark.parametrize("replica", MAKERS, indirect=True)
@pytest.mark.usefixtures("mirror")
def test_torchvision_reads_the_same_from_the_same_files(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    data = make_data(replica, root)
    data.prepare_data()
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("torchvision found no file"))
    for train in (True, False):
        assert_equal(data.load(train), read_by_torchvision(replica.option, root, train))


@pytest.mark.parametrize("replica", KINDS, indirect=True)
def test_damaged_file_is_replaced(
    replica: Replica, mirror: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "data"
    data = make_data(replica, root)
    data.prepare_data()
    damaged = root / next(iter(replica.files))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    data.prepare_data()
    assert files_below(root) == replica.files
    assert f"{damaged} is damaged" in caplog.text
    assert mirror.requests


@pytest.mark.parametrize("replica", KINDS, indirect=True)
def test_next_mirror_is_used_if_one_has_a_damaged_archive(
    replica: Replica, mirror: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    replicas.write_files(tmp_path / "damaged", {name: content[:-1] for name, content in replica.remote.items()})
    damaged = Server(tmp_path / "damaged")
    data = make_data(replica, tmp_path / "data")
    monkeypatch.setattr(type(data), "mirrors", (damaged.url, mirror.url))
    data.prepare_data()
    damaged.close()
    assert files_below(tmp_path / "data") == replica.files
    assert f"download from {damaged.url} failed: MD5 of {next(iter(replica.remote))} is not" in caplog.text


@pytest.mark.parametrize("replica", KINDS, indirect=True)
@pytest.mark.usefixtures("mirror")
def test_remains_of_a_killed_download_are_no_data_and_are_removed(replica: Replica, tmp_path: Path) -> None:
    root = tmp_path / "data"
    data = make_data(replica, root)
    remains = root / f".{data.title.lower().replace('-', '_')}-killed"
    root.mkdir()
    replicas.write_files(remains, {name: content[:100] for name, content in replica.remote.items()})
    data.prepare_data()
    assert files_below(root) == replica.files


@pytest.mark.parametrize("replica", KINDS, indirect=True)
@pytest.mark.usefixtures("mirror")
def test_two_at_once_download_once(replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloaded: list[str] = []
    download_file = download._download_file

    def record(url: str, path: Path, md5: str) -> None:
        downloaded.append(path.name)
        download_file(url, path, md5)

    monkeypatch.setattr(download, "_download_file", record)
    data = make_data(replica, tmp_path / "data")
    threads = [threading.Thread(target=data.prepare_data) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert downloaded == list(replica.remote)
    assert files_below(tmp_path / "data") == replica.files


@pytest.mark.parametrize("replica", ["cifar10"], indirect=True)
def test_archive_that_somebody_has_put_into_root_is_used_without_a_download(
    replica: Replica, mirror: Server, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    replicas.write_files(root, replica.remote)
    data = make_data(replica, root)
    data.prepare_data()
    assert mirror.requests == []
    assert files_below(root) == {**replica.files, **replica.remote}
    assert_equal(data.load(train=True), replica.train)


@pytest.mark.parametrize("replica", ["cifar10"], indirect=True)
@pytest.mark.usefixtures("mirror")
def test_archive_without_the_files_is_no_download(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    content = replicas.tar_file({"cifar-10-batches-py/readme.html": b""})
    (tmp_path / "mirror" / "cifar-10-python.tar.gz").write_bytes(content)
    archive = download.TarArchive("cifar-10-python.tar.gz", replicas.md5_of(content))
    monkeypatch.setattr(data_sets.CIFAR10, "archive", archive)
    with pytest.raises(RunFailedError) as error:
        make_data(replica, tmp_path / "data").prepare_data()
    place = tmp_path / "data"
    assert str(error.value) == (
        f"could not download CIFAR-10: no mirror delivered it. Put cifar-10-python.tar.gz into {place}, "
        "or train without a download: python -m cnn_experiments data=digits"
    )
    assert (
        "cifar-10-python.tar.gz can't be read: \"filename 'cifar-10-batches-py/data_batch_1' not found\"" in caplog.text
    )
    assert files_below(place) == {}


@pytest.mark.parametrize("replica", ["cifar100"], indirect=True)
@pytest.mark.usefixtures("mirror")
def test_pickle_is_not_loaded_if_its_checksum_is_wrong(replica: Replica, tmp_path: Path) -> None:
    data = make_data(replica, tmp_path / "data")
    data.prepare_data()
    (data.directory / "train").write_bytes(b"cos\nabort\n(tR.")  # ends the process if it is loaded
    with pytest.raises(ValueError, match="train is damaged: its MD5 is not"):
        data.load(train=True)


@pytest.mark.parametrize("replica", ["svhn"], indirect=True)
@pytest.mark.usefixtures("mirror")
def test_splits_have_the_images_that_are_held_out_and_trained_on(replica: Replica, tmp_path: Path) -> None:
    data = make_data(replica, tmp_path / "data", "data.val_size=10", "data.train_size=10", "data.channels=1")
    train, val, test = (data.stored_split(split) for split in ("train", "val", "test"))
    assert [len(split.images) for split in (train, val, test)] == [10, 10, NUM_TEST]
    assert not set(train.index.tolist()) & set(val.index.tolist())
    assert {split.images.shape[1:] for split in (train, val, test)} == {(1, 32, 32)}
    assert torch.equal(train.labels, replica.train[1][train.index])
    assert set(train.index.tolist()) <= set(range(NUM_TRAIN))


@pytest.mark.parametrize("module", PUBLIC.values(), ids=PUBLIC)
def test_mirrors_end_with_a_slash(module: type[DownloadedDataModule]) -> None:
    assert module.mirrors
    assert all(url.startswith(("https://", "http://")) and url.endswith("/") for url in module.mirrors)


@pytest.mark.parametrize(
    ("split", "classes"),
    [("balanced", 47), ("byclass", 62), ("bymerge", 47), ("digits", 10), ("letters", 26), ("mnist", 10)],
)
def test_split_of_emnist_determines_the_classes(split: str, classes: int, tmp_path: Path) -> None:
    config = ComposedConfig.from_overrides("data=emnist", f"data.split={split}", f"data.root={tmp_path}")
    config.validate()
    assert config.settings["data"]["classes"] == config.settings["model"]["num_classes"] == classes
    assert len(build_data(config.settings).class_names) == classes


def test_names_of_classes_are_those_of_the_files() -> None:
    assert "".join(build_emnist("balanced").class_names) == "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
    assert "".join(build_emnist("letters").class_names) == "abcdefghijklmnopqrstuvwxyz"
    names = data_sets.CIFAR100.class_names
    assert len(names) == 100
    assert list(names) == sorted(set(names))


def build_emnist(split: str) -> Any:
    return build_data(ComposedConfig.from_overrides("data=emnist", f"data.split={split}").settings)
