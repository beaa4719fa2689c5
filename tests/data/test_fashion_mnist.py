"""Downloading and recognising the archives, against a server on this machine."""

import functools
import gzip
import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate

from cnn_experiments.data import fashion_mnist
from cnn_experiments.errors import RunFailedError
from tests.conftest import configured

HEADERS = {"images-idx3": (0x803, 2, 28, 28), "labels-idx1": (0x801, 2)}


def archive(kind: str, fill: int) -> bytes:
    """An archive of two images or labels in the format of the real ones."""
    numbers = HEADERS[kind]
    size = 2 * 28 * 28 if len(numbers) == 4 else 2
    return gzip.compress(b"".join(number.to_bytes(4, "big") for number in numbers) + bytes([fill]) * size, mtime=0)


@pytest.fixture
def archives(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Four small archives in place of the real ones, checksums included."""
    made = {
        f"{part}-{kind}-ubyte.gz": archive(kind, fill)
        for fill, part in enumerate(("train", "t10k"), start=1)
        for kind in HEADERS
    }
    sums = {name: hashlib.md5(content).hexdigest() for name, content in made.items()}  # noqa: S324
    monkeypatch.setattr(fashion_mnist, "_MD5", sums)
    monkeypatch.setattr(fashion_mnist._Archives, "resources", list(sums.items()))
    return made


class Server:
    """Serves a folder and counts what is asked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        server = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                server.asked.append(f"{self.command} {self.path}")

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def mirror(tmp_path: Path, archives: dict[str, bytes]) -> Iterator[Server]:
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in archives.items():
        (folder / name).write_bytes(content)
    server = Server(folder)
    yield server
    server.close()


NOWHERE = "http://127.0.0.1:9/"


def left(root: Path) -> list[str]:
    """What stands under `root` beside the lock."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_takes_the_first_mirror_that_answers(tmp_path: Path, mirror: Server, archives: dict[str, bytes]) -> None:
    root = tmp_path / "data"
    fashion_mnist.fetch(root, [NOWHERE, mirror.url])
    assert left(root) == sorted(f"FashionMNIST/raw/{name}" for name in archives)
    assert all((root / "FashionMNIST" / "raw" / name).read_bytes() == content for name, content in archives.items())
    asked = len(mirror.asked)
    fashion_mnist.fetch(root, [mirror.url])
    assert len(mirror.asked) == asked


def test_whole_archives_need_no_place_to_write(tmp_path: Path, mirror: Server) -> None:
    root = tmp_path / "data"
    fashion_mnist.fetch(root, [mirror.url])
    (root / ".fashion_mnist.lock").unlink()
    fashion_mnist.fetch(root, [])
    assert not (root / ".fashion_mnist.lock").exists()


def test_a_mirror_with_other_bytes_is_left_for_the_next(
    tmp_path: Path, mirror: Server, archives: dict[str, bytes]
) -> None:
    folder = tmp_path / "wrong"
    folder.mkdir()
    for name, content in archives.items():
        (folder / name).write_bytes(content[:-3])
    wrong = Server(folder)
    fashion_mnist.fetch(tmp_path / "data", [wrong.url, mirror.url])
    wrong.close()
    assert len(left(tmp_path / "data")) == 4


def test_several_at_once_download_once(tmp_path: Path, mirror: Server) -> None:
    fashion_mnist.fetch(tmp_path / "alone", [mirror.url])
    once = mirror.asked.count("GET /t10k-labels-idx1-ubyte.gz")
    threads = [threading.Thread(target=fashion_mnist.fetch, args=(tmp_path / "data", [mirror.url])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(left(tmp_path / "data")) == 4
    assert mirror.asked.count("GET /t10k-labels-idx1-ubyte.gz") == 2 * once


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b damaged"])
def test_a_damaged_archive_is_named_and_replaced(
    tmp_path: Path,
    mirror: Server,
    archives: dict[str, bytes],
    caplog: pytest.LogCaptureFixture,
    content: bytes,
) -> None:
    root = tmp_path / "data"
    fashion_mnist.fetch(root, [mirror.url])
    damaged = root / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    damaged.write_bytes(content)
    with pytest.raises(RunFailedError, match=r"t10k-labels-idx1-ubyte\.gz damaged"):
        fashion_mnist.fetch(root, [])
    assert damaged.read_bytes() == content
    fashion_mnist.fetch(root, [mirror.url])
    assert damaged.read_bytes() == archives[damaged.name]
    assert f"{damaged} is damaged" in caplog.text


def test_without_a_mirror_the_error_helps_and_nothing_is_left(
    tmp_path: Path, archives: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def hanging_look_up(*_: object, **__: object) -> None:
        over.wait(60)
        raise OSError

    monkeypatch.setattr(fashion_mnist, "_CONNECT_SECONDS", 0.5)
    monkeypatch.setattr("urllib.request.urlopen", hanging_look_up)
    root = tmp_path / "data"
    started = time.monotonic()
    with pytest.raises(RunFailedError) as failure:
        fashion_mnist.fetch(root)
    assert time.monotonic() - started < 10
    over.set()
    message = str(failure.value)
    assert "\n" not in message
    assert all(name in message for name in archives)
    assert str(root / "FashionMNIST" / "raw") in message
    assert "python -m cnn_experiments data=digits" in message
    assert left(root) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, archives: dict[str, bytes]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        RunFailedError, match=r"^data\.root=.*/file/data: this folder can't be made \(Not a directory\)$"
    ):
        fashion_mnist.fetch(tmp_path / "file" / "data", [NOWHERE])


def test_a_download_that_was_killed_is_cleared_away(tmp_path: Path, mirror: Server) -> None:
    partial = tmp_path / "data" / ".fashion_mnist-killed" / "FashionMNIST"
    partial.mkdir(parents=True)
    fashion_mnist.fetch(tmp_path / "data", [mirror.url])
    assert not partial.parent.exists()


def test_mirrors_are_encrypted() -> None:
    assert len(fashion_mnist.MIRRORS) >= 2
    assert all(url.startswith("https://") and url.endswith("/") for url in fashion_mnist.MIRRORS)


def test_real_images(fashion_mnist_root: Path) -> None:
    data = instantiate(configured(f"data.root={fashion_mnist_root}").data, _convert_="all")
    data.prepare_data()
    images, labels = data.load(train=True)
    assert images.shape == (60_000, 1, 28, 28)
    assert images.dtype == torch.uint8
    assert labels.bincount().tolist() == [6000] * 10
    pixels = images.double() / 255
    assert pixels.mean().item() == pytest.approx(data.mean, abs=1e-4)
    assert pixels.std().item() == pytest.approx(data.std, abs=1e-4)
    test_images, test_labels = data.load(train=False)
    assert test_images.shape == (10_000, 1, 28, 28)
    assert test_labels[:5].tolist() == [9, 2, 1, 1, 6]


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CNN_EXPERIMENTS_DATA", raising=False)
    assert configured().data.root == "data"
    monkeypatch.setenv("CNN_EXPERIMENTS_DATA", "elsewhere")
    assert configured().data.root == "elsewhere"
