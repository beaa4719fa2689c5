"""Tests of downloads, from servers on this machine."""

import hashlib
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cnn_experiments.data import download
from cnn_experiments.errors import RunFailedError
from tests.data.mirror import Server

FILES = {"images.gz": b"content of the images", "labels.gz": b"content of the labels"}
MD5 = {name: hashlib.md5(content).hexdigest() for name, content in FILES.items()}  # noqa: S324
LOCK = ".some_images.lock"
UNREACHABLE = "http://127.0.0.1:9/"


def download_files(root: Path, mirrors: Sequence[str]) -> None:
    download.download_files(root, "SomeImages/raw", MD5, mirrors, name="Some-Images")


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Server]:
    directory = tmp_path / "mirror"
    directory.mkdir()
    for name, content in FILES.items():
        (directory / name).write_bytes(content)
    server = Server(directory)
    yield server
    server.close()


def files_below(root: Path) -> list[str]:
    """Return the paths of all files below `root` but the lock."""
    paths = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return sorted(str(path.relative_to(root)) for path in paths)


def test_first_mirror_that_responds_is_used_and_intact_files_are_kept(tmp_path: Path, mirror: Server) -> None:
    root = tmp_path / "data"
    download_files(root, [UNREACHABLE, mirror.url])
    assert files_below(root) == sorted(f"SomeImages/raw/{name}" for name in FILES)
    assert all((root / "SomeImages" / "raw" / name).read_bytes() == content for name, content in FILES.items())
    num_requests = len(mirror.requests)
    download_files(root, [mirror.url])
    assert len(mirror.requests) == num_requests


def test_intact_files_need_no_writable_root(tmp_path: Path, mirror: Server) -> None:
    root = tmp_path / "data"
    download_files(root, [mirror.url])
    (root / LOCK).unlink()
    download_files(root, [])
    assert not (root / LOCK).exists()


def test_next_mirror_is_used_if_the_checksum_differs(
    tmp_path: Path, mirror: Server, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "truncated"
    directory.mkdir()
    for name, content in FILES.items():
        (directory / name).write_bytes(content[:-3])
    truncated = Server(directory)
    download_files(tmp_path / "data", [truncated.url, mirror.url])
    truncated.close()
    assert len(files_below(tmp_path / "data")) == 2
    assert f"download from {truncated.url} failed: MD5 of images.gz is not {MD5['images.gz']}" in caplog.text


def test_next_mirror_is_used_if_a_download_stalls(
    tmp_path: Path, mirror: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_READ_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def respond_without_content() -> None:
            for _ in range(2):  # the probe and the download
                connection, _ = listener.accept()
                connections.append(connection)  # stays open
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 21\r\n\r\n")

        connections: list[socket.socket] = []
        thread = threading.Thread(target=respond_without_content)
        thread.start()
        download_files(tmp_path / "data", [f"http://127.0.0.1:{listener.getsockname()[1]}/", mirror.url])
        thread.join()
        for connection in connections:
            connection.close()
    assert len(files_below(tmp_path / "data")) == 2


def test_next_mirror_is_used_if_a_server_does_not_speak_http(
    tmp_path: Path, mirror: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def respond() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 ready\r\n")

        thread = threading.Thread(target=respond)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        download_files(tmp_path / "data", [url, mirror.url])
        thread.join()
    assert f"no response from {url}: 220 ready" in caplog.text
    assert len(files_below(tmp_path / "data")) == 2


def test_concurrent_calls_download_once(tmp_path: Path, mirror: Server) -> None:
    last_request = "GET /labels.gz"  # not the file that mirrors are probed with
    threads = [threading.Thread(target=download_files, args=(tmp_path / "data", [mirror.url])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files_below(tmp_path / "data")) == 2
    assert mirror.requests.count(last_request) == 1


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b damaged"])
def test_damaged_file_is_named_and_replaced(
    tmp_path: Path, mirror: Server, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    root = tmp_path / "data"
    download_files(root, [mirror.url])
    damaged = root / "SomeImages" / "raw" / "labels.gz"
    damaged.write_bytes(content)
    with pytest.raises(RunFailedError, match=r"damaged \(wrong MD5\): labels\.gz\. Put"):
        download_files(root, [])
    assert damaged.read_bytes() == content
    download_files(root, [mirror.url])
    assert damaged.read_bytes() == FILES["labels.gz"]
    assert f"{damaged} is damaged" in caplog.text


def test_error_without_a_network_waits_for_no_lookup_and_is_helpful_and_no_file_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_of_test = threading.Event()
    ended_lookups: list[str] = []

    def hang_in_name_resolution(url: str, **_: object) -> None:
        end_of_test.wait()
        ended_lookups.append(url)
        raise OSError

    monkeypatch.setattr(download, "_CONNECT_SECONDS", 0.5)
    monkeypatch.setattr("urllib.request.urlopen", hang_in_name_resolution)
    root = tmp_path / "data"
    with pytest.raises(RunFailedError) as error:
        download_files(root, ["https://one.example/", "https://two.example/", "https://three.example/"])
    assert ended_lookups == []
    end_of_test.set()
    message = str(error.value)
    assert "\n" not in message
    assert all(name in message for name in FILES)
    assert str(root / "SomeImages" / "raw") in message
    assert "python -m cnn_experiments data=digits" in message
    assert files_below(root) == []


def test_root_that_cannot_be_created_is_named(tmp_path: Path, mirror: Server) -> None:
    (tmp_path / "file").touch()
    root = tmp_path / "file" / "data"
    message = f"data.root={root}: could not create this directory (Not a directory)"
    with pytest.raises(RunFailedError, match=f"^{re.escape(message)}$"):
        download_files(root, [mirror.url])


def test_nothing_is_made_where_the_disk_may_not_be_mounted(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="no mirror delivered it"):
        download_files(tmp_path / "disk" / "data", [UNREACHABLE])
    assert list(tmp_path.iterdir()) == []


def test_remains_of_a_killed_download_are_removed(tmp_path: Path, mirror: Server) -> None:
    temporary = tmp_path / "data" / ".some_images-killed" / "SomeImages"
    temporary.mkdir(parents=True)
    download_files(tmp_path / "data", [mirror.url])
    assert not temporary.parent.exists()
