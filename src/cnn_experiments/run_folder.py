"""A run's folder and the files in it that tell how the run stands."""

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lightning.pytorch.utilities import rank_zero_only

from cnn_experiments.errors import RunFailedError


class RunFolder:
    """Writes the files of one run; of several processes only the first writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"
        self._results: dict[str, Any] = {}

    @rank_zero_only
    def claim(self) -> None:
        """Makes the folder this run's own.

        Raises:
            RunFailedError: another run has it.
        """
        try:
            self.checkpoints.mkdir()
        except FileExistsError:
            raise RunFailedError(f"{self.path} holds another run") from None

    @rank_zero_only
    def record(self, **facts: Any) -> None:
        """Puts facts into results.json, which is whole at every moment; a float that JSON can't hold becomes null."""
        self._results |= facts
        with self.rewritten("results.json") as file:
            json.dump(_plain(self._results), file, indent=1, allow_nan=False)

    @rank_zero_only
    def write_config(self, text: str) -> None:
        """The resolved configuration, as YAML."""
        with self.rewritten("config.yaml") as file:
            file.write(text)

    @rank_zero_only
    def adopt_best(self, resumed: Path) -> None:
        """Takes over the best checkpoint so far of the run that `resumed` belongs to."""
        best = resumed.with_name(self.best.name)
        if best.is_file():
            shutil.copyfile(best, self.best)

    @contextmanager
    def rewritten(self, name: str) -> Iterator[IO[str]]:
        """A text file that takes the place of the one called `name` when it is complete."""
        fresh = self.path / f"{name}.writing"
        with fresh.open("w", newline="", encoding="utf-8") as file:
            yield file
        fresh.replace(self.path / name)


def short(path: Path) -> Path:
    """Relative where it is below the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def rounded(value: float) -> float:
    """The seven digits that a float32 has: 0.7669, where Python would write 0.7669000029563904."""
    return float(f"{value:.7g}")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return rounded(value) if math.isfinite(value) else None
    return value


def checkpoint_of(path: Path) -> Path:
    """The checkpoint to go on from: `path` itself, or the last one where it is a run's folder."""
    return path / "checkpoints" / "last.ckpt" if path.is_dir() else path
