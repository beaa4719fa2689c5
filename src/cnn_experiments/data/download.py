"""Download of a data set's files from one of several mirrors, checked by MD5 and safe for several processes at once."""

import http.client
import logging
import shutil
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from torchvision.datasets.utils import check_integrity

from cnn_experiments.errors import RunFailedError

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 8.0
"""Time limit for a mirror to respond; all mirrors are probed at once."""
_READ_SECONDS = 10.0
"""Time limit for the next bytes of a download to arrive."""
_NETWORK_ERRORS = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class TarArchive:
    """A compressed tar file that holds the files of a data set in their subdirectory."""

    name: str
    md5: str


def download_files(
    root: Path,
    subdirectory: str,
    md5: Mapping[str, str],
    mirrors: Sequence[str],
    *,
    name: str,
    archive: TarArchive | None = None,
) -> None:
    """Download the files of a data set from the first mirror that delivers all of them intact.

    Files that exist with the right checksum are not downloaded again, and nothing is written if all of them do. Several
    processes may call this at once: one downloads, the others wait. No file appears before all of them are complete.

    Args:
        root: directory of all data sets; it also holds the lock file and, temporarily, incomplete downloads.
        subdirectory: directory of the files, relative to `root`.
        md5: MD5 checksum of each file, by file name.
        mirrors: URLs, each with a slash at its end, to which a file name is appended.
        name: name of the data set, such as `Fashion-MNIST`, for messages, the lock file and temporary directories.
        archive: is downloaded instead of the files, which are extracted from it, and is not kept. An intact one that
            somebody has put into `root` is used without a download.

    Raises:
        RunFailedError: `root` cannot be created, or no mirror delivers the files.
    """
    directory = root / subdirectory
    if not _invalid_files(directory, md5):
        return
    place, remote_md5 = (root, {archive.name: archive.md5}) if archive else (directory, md5)
    damaged = _damaged_files(place, remote_md5)
    if archive and (root / archive.name).exists() and not damaged:
        mirrors = [f"{root.absolute().as_uri()}/"]
    responding = _responding_mirrors(mirrors, next(iter(remote_md5)))  # before the lock: no queue of those offline
    if not responding:  # nothing is made where a disk may only not be mounted
        raise _not_delivered(place, remote_md5, damaged, name)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFailedError(f"data.root={root}: could not create this directory ({error.strerror})") from error
    hidden_name = f".{name.lower().replace('-', '_')}"
    with FileLock(root / f"{hidden_name}.lock"):
        if not _invalid_files(directory, md5):
            return
        for file in _damaged_files(directory, md5):
            log.warning("%s is damaged: its MD5 is not %s; downloading it again", directory / file, md5[file])
        for abandoned in root.glob(f"{hidden_name}-*"):  # by a process that was killed
            shutil.rmtree(abandoned)
        for mirror in responding:
            log.info("downloading %s from %s", name, mirror)
            with tempfile.TemporaryDirectory(dir=root, prefix=f"{hidden_name}-") as temporary:
                try:
                    for file in remote_md5:
                        _download_file(mirror + file, Path(temporary, file), remote_md5[file])
                    if archive:
                        _extract_files(Path(temporary, archive.name), subdirectory, md5)
                except _NETWORK_ERRORS as error:
                    log.warning("download from %s failed: %s", mirror, error)
                    continue
                directory.mkdir(parents=True, exist_ok=True)
                for file in md5:
                    Path(temporary, file).replace(directory / file)
                return
    raise _not_delivered(place, remote_md5, damaged, name)


def _not_delivered(directory: Path, files: Iterable[str], damaged: Sequence[str], name: str) -> RunFailedError:
    problem = f"; damaged (wrong MD5): {', '.join(damaged)}" if damaged else ""
    return RunFailedError(
        f"could not download {name}: no mirror delivered it{problem}. "
        f"Put {', '.join(files)} into {directory.absolute()}, "
        "or train without a download: python -m cnn_experiments data=digits"
    )


def _damaged_files(directory: Path, md5: Mapping[str, str]) -> list[str]:
    return [file for file in _invalid_files(directory, md5) if (directory / file).exists()]


def _invalid_files(directory: Path, md5: Mapping[str, str]) -> list[str]:
    """Return the names of the files that are missing or damaged."""
    return [file for file in md5 if not check_integrity(directory / file, md5[file])]


def _responding_mirrors(mirrors: Sequence[str], file: str) -> list[str]:
    """Return the mirrors that start to deliver a file within the time limit, in the given order."""
    responding: set[str] = set()

    def probe(mirror: str) -> None:
        try:
            urllib.request.urlopen(mirror + file, timeout=_CONNECT_SECONDS).close()  # noqa: S310
        except _NETWORK_ERRORS as error:
            log.warning("no response from %s: %s", mirror, error)
        else:
            responding.add(mirror)

    # Daemon threads: name resolution has no timeout, and a hanging one must not keep the program from exiting.
    threads = [threading.Thread(target=probe, args=(mirror,), daemon=True) for mirror in mirrors]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _CONNECT_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [mirror for mirror in mirrors if mirror in responding]


def _download_file(url: str, path: Path, md5: str) -> None:
    with urllib.request.urlopen(url, timeout=_READ_SECONDS) as response, path.open("wb") as file:  # noqa: S310
        shutil.copyfileobj(response, file)
    if not check_integrity(path, md5):
        raise OSError(f"MD5 of {path.name} is not {md5}")


def _extract_files(archive: Path, subdirectory: str, md5: Mapping[str, str]) -> None:
    """Extract the files from an archive into the directory that it is in, and nothing else."""
    try:
        with tarfile.open(archive) as tar:
            for name in md5:
                packed = tar.extractfile(f"{subdirectory}/{name}")
                if packed is None:
                    raise OSError(f"{name} in {archive.name} is no file")
                with packed, archive.with_name(name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except (KeyError, tarfile.TarError) as error:
        raise OSError(f"{archive.name} can't be read: {error}") from error
    if damaged := _invalid_files(archive.parent, md5):
        raise OSError(f"MD5 of {', '.join(damaged)} in {archive.name} is not that of the data set")
