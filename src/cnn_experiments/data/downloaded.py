"""Data sets whose files are downloaded, checked by MD5 and kept in a directory as torchvision keeps them."""

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.data.download import TarArchive, download_files


class DownloadedDataModule(ImageDataModule):
    """Images in files that are downloaded once and read directly into memory.

    Args:
        root: directory of all data sets.
        settings: the parameters of ImageDataModule.

    Raises:
        ArgumentError: `root` is not a directory, or can't be read or made.
    """

    title: ClassVar[str]
    """The name of the data set in messages."""
    subdirectory: ClassVar[str]
    """Directory of the files, relative to `root`; the same as torchvision's."""
    md5: ClassVar[Mapping[str, str]]
    """Checksum of each file, by file name."""
    mirrors: ClassVar[Sequence[str]]
    """URLs, each with a slash at its end, to which a file name is appended."""
    archive: ClassVar[TarArchive | None] = None
    """What holds the files on the mirrors, if they are not there as such."""

    def __init__(self, *, root: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.root = Path(os.path.expanduser(root))
        _check_root(root, self.root)

    @property
    def directory(self) -> Path:
        """Return the directory of the files."""
        return (self.root / self.subdirectory).absolute()

    def prepare_data(self) -> None:
        """Download the files that are missing or damaged.

        Raises:
            RunFailedError: the download is not possible.
        """
        download_files(self.root, self.subdirectory, self.md5, self.mirrors, name=self.title, archive=self.archive)

    @abstractmethod
    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Read the training set or the test set from the files, whose checksums `prepare_data` has verified."""


def mirror_of(url: str) -> str:
    """Return the part of a URL before the name of the file, with the slash."""
    return f"{url.rpartition('/')[0]}/"


def _check_root(typed: str, root: Path) -> None:
    """Check that a directory is there and can be read, or can be made."""
    absolute = root.absolute()
    problem = None
    for path in (absolute, *absolute.parents):
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:  # a name that is too long, or has a null character
            problem = f"must be a directory ({error.strerror if isinstance(error, OSError) else error})"
            break
        needed = os.R_OK | os.X_OK if path == absolute else os.W_OK | os.X_OK
        if not path.is_dir():
            problem = f"must be a directory; {path} is none"
        elif not os.access(path, needed):
            problem = f"no permission for {path}"
        break
    if problem:
        raise ArgumentError("root", typed, problem)
