"""A run's folder and the files in it that tell how the run stands."""

import json
import math
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout
from lightning_utilities.core.rank_zero import rank_zero_only  # Lightning's own, without torch

from cnn_experiments.errors import RunFailedError
from cnn_experiments.runs.fingerprint import stored_identity

_LOCK = ".lock"
_OF_THE_PROGRAM = {_LOCK, ".hydra", "run.log", "console.log"}
"""What stands in a folder before its run says anything."""

_PRUNED = "pruned after epoch"

_held: dict[Path, FileLock] = {}


def hold(path: Path) -> bool:
    """Keeps other processes out of a run's folder until `release` or the end of this process, however it ends.

    Returns:
        Whether it worked: another process may be there.
    """
    path = path.resolve()
    if path not in _held:
        lock = FileLock(path / _LOCK)
        try:
            lock.acquire(timeout=1)  # one that only looks holds it for a moment
        except Timeout:
            return False
        _held[path] = lock
    return True


def release(path: Path) -> None:
    """Lets other processes in again."""
    if lock := _held.pop(path.resolve(), None):
        lock.release()


@dataclass(frozen=True)
class Standing:
    """How the run in a folder stands.

    `status` is that of its results.json, `new` where there is none yet, or `damaged`. What says `running` while no
    process is at work there was killed together with all that could have told: it is `interrupted`.
    """

    status: str
    results: dict[str, Any]

    @classmethod
    def of(cls, path: Path) -> "Standing":
        """Looks into a folder, which need not be there."""
        at_work = _at_work(path)
        try:
            results = json.loads((path / "results.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls("running" if at_work else "new", {})
        except ValueError:
            results = None
        if not isinstance(results, dict):
            return cls("damaged", {})
        status = str(results.get("status"))
        return cls("running" if at_work else "interrupted" if status == "running" else status, results)

    @property
    def ended_by_signal(self) -> bool:
        """Whether the run could have gone on: it raised nothing itself."""
        return self.status == "interrupted" or self.results.get("error") in signal.Signals.__members__


def _at_work(path: Path) -> bool:
    if path.resolve() in _held or not (path / _LOCK).exists():
        return False
    try:
        with FileLock(path / _LOCK, timeout=0):
            return False
    except Timeout:
        return True


def is_free(path: Path) -> bool:
    """Whether a folder holds nothing but what this program puts there before a run has anything to say."""
    files = {file.relative_to(path).parts[0] for file in path.rglob("*") if file.is_file()}
    return files <= _OF_THE_PROGRAM | {"results.json.writing"}


class RunFolder:
    """Writes the files of one run; of several processes only the first writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"
        self._results: dict[str, Any] = {}

    @property
    def facts(self) -> dict[str, Any]:
        """What results.json holds."""
        return self._results

    @property
    def begun(self) -> Path | None:
        """The checkpoint that this folder's own run goes on from."""
        return self.last if self.last.exists() else None

    @contextmanager
    def claimed(self, identity: str) -> Iterator[None]:
        """Makes the folder this run's own.

        What a signal ended here goes on. What failed by itself starts over; of its first attempt only the log stays.

        Raises:
            RunFailedError: another process works there, or it holds another run.
        """
        self._claim(identity)
        try:
            yield
        finally:
            release(self.path)

    @rank_zero_only
    def _claim(self, identity: str) -> None:
        if not hold(self.path):
            raise RunFailedError(f"another process is at work in {self.path}")
        before = Standing.of(self.path)
        if before.status != "new" and stored_identity(before.results) != identity:
            release(self.path)
            raise RunFailedError(f"{self.path} holds another run")
        self._results = before.results
        if before.status == "failed" and not before.ended_by_signal:
            self._clear()
        self.checkpoints.mkdir(exist_ok=True)

    def _clear(self) -> None:
        for entry in self.path.iterdir():
            if entry.is_dir() and entry.name not in _OF_THE_PROGRAM:
                shutil.rmtree(entry)
            elif entry.name not in _OF_THE_PROGRAM:
                entry.unlink()
        self._results = {}

    def record(self, **facts: Any) -> None:
        """Puts facts into results.json, which is whole at every moment; a float that JSON can't hold becomes null."""
        self._results |= facts
        self._write_results()

    @rank_zero_only
    def _write_results(self) -> None:
        write_results(self.path, self._results)

    @rank_zero_only
    def write_config(self, text: str) -> None:
        """The resolved configuration, as YAML."""
        with rewritten(self.path / "config.yaml") as file:
            file.write(text)

    @rank_zero_only
    def adopt_best(self, resumed: Path) -> None:
        """Takes over the best checkpoint so far of the run that `resumed` belongs to."""
        best = resumed.with_name(self.best.name)
        if best.is_file():
            shutil.copyfile(best, self.best)


@contextmanager
def rewritten(path: Path) -> Iterator[IO[str]]:
    """A text file that takes the place of the one at `path` when it is complete."""
    fresh = path.with_name(f"{path.name}.writing")
    with fresh.open("w", newline="", encoding="utf-8") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())  # else a power cut can leave an empty file
    fresh.replace(path)


def pruned(results: dict[str, Any], epoch: int) -> dict[str, Any]:
    """What results.json says of a run that a search stopped behind an epoch."""
    return results | {"error": f"{_PRUNED} {epoch}"}


def is_pruned(results: dict[str, Any]) -> bool:
    """Whether a search stopped the run."""
    return results.get("status") == "interrupted" and str(results.get("error")).startswith(_PRUNED)


def write_results(folder: Path, facts: dict[str, Any]) -> None:
    """A whole results.json."""
    with rewritten(folder / "results.json") as file:
        json.dump(_plain(facts), file, indent=1, allow_nan=False)


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
