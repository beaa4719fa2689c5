"""The directory of a run and the files that the program keeps there."""

import logging
import os
import shutil
import stat
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from cnn_experiments.console import relative_path
from cnn_experiments.errors import RunFailedError
from cnn_experiments.runs.atomic import WRITING_SUFFIX, atomic_write, remove_on_error
from cnn_experiments.runs.lock import LOCK_FILE, acquire, release
from cnn_experiments.runs.plan_file import PLAN_FILE
from cnn_experiments.runs.regular_file import is_regular_file, open_new, open_to_append, open_to_read
from cnn_experiments.runs.results import RESULTS_FILE, RunResults
from cnn_experiments.runs.state import RunState, next_action
from cnn_experiments.runs.status import Action

log = logging.getLogger(__name__)

CONFIG_FILE = "config.yaml"
METRICS_FILE = "metrics.csv"
LOG_FILE = "run.log"
CONSOLE_FILE = "console.log"
PREDICTIONS_FILE = "predictions.npz"
PROFILE_FILE = "profile.txt"
PROFILE_TRACE_FILE = "profile_trace.json"
RUN_PAGE = "run.html"
CHECKPOINTS = "checkpoints"
BEST_CHECKPOINT = "best.ckpt"
LAST_CHECKPOINT = "last.ckpt"

FILES = {
    RESULTS_FILE: "the status and the results of the run, see below; complete at every moment",
    METRICS_FILE: "every metric of every epoch",
    CONFIG_FILE: "all settings, resolved",
    LOG_FILE: "what the run printed, with times, and tracebacks",
    CONSOLE_FILE: "everything that the process printed, if several runs of a sweep ran at once",
    PREDICTIONS_FILE: "the logits of every test image, and of the images held out, in the tested epoch",
    f"{CHECKPOINTS}/{BEST_CHECKPOINT}": "the tested epoch: that with the best value of `monitor`, or the last",
    f"{CHECKPOINTS}/{LAST_CHECKPOINT}": "the checkpoint to resume from",
    f"{CHECKPOINTS}/attempt-1/": "what was put aside: checkpoints before `restart=true`, damaged checkpoints",
    PROFILE_FILE: "where the time of some steps went, of a run with `callbacks=profiler`",
    PROFILE_TRACE_FILE: "the same as a trace, for https://ui.perfetto.dev or chrome://tracing",
    f"{CHECKPOINTS}/NAME/": "what a ModelCheckpoint in `callbacks.NAME` writes",
    RUN_PAGE: "the page that `python -m cnn_experiments.report RUN` writes",
    "events.out.tfevents.*": "TensorBoard's curves and the run's row in its HParams tab",
    "csv/": "what `logger=csv` wrote: a directory for each part of the run",
    "wandb/": "what `logger=wandb` wrote; `wandb sync` uploads it",
    ".hydra/": "what Hydra composed: configuration and overrides",
    "train_ddp_process_*.log": "what the other processes of a run on several devices printed",
    LOCK_FILE: "the lock of the process that works on the run",
    PLAN_FILE: "the settings that a sweep planned the run to have, while it works on the run",
}
"""The files of a run's directory and what they hold; docs/reference/run_directory.md lists them from here."""

_FILES_BEFORE_RESULTS = {
    *(LOCK_FILE, ".hydra", LOG_FILE, CONSOLE_FILE),
    *(PLAN_FILE, f"{PLAN_FILE}{WRITING_SUFFIX}", f"{RESULTS_FILE}{WRITING_SUFFIX}"),
}
"""What is there before the run has results."""

TEMPORARY_CHECKPOINT = f"last{WRITING_SUFFIX}"
"""The file in checkpoints/ in which a checkpoint is written before it replaces another one."""
TEMPORARY_BEST_CHECKPOINT = f"best{WRITING_SUFFIX}"

_TEMPORARY_FILES = (
    *(f"{name}{WRITING_SUFFIX}" for name in (RESULTS_FILE, METRICS_FILE, CONFIG_FILE, PREDICTIONS_FILE, PLAN_FILE)),
    f"{CHECKPOINTS}/{TEMPORARY_CHECKPOINT}",
    f"{CHECKPOINTS}/{TEMPORARY_BEST_CHECKPOINT}",
)
"""What a process that was killed while it wrote has left behind."""

_OWN_DIRECTORIES = (CHECKPOINTS, ".hydra")
_APPENDED_FILES = (
    LOCK_FILE,
    LOG_FILE,
    CONSOLE_FILE,
    *(f".hydra/{name}.yaml" for name in ("config", "hydra", "overrides")),
)
"""Files that are written where they are. All others are replaced as a whole, links too."""
_REPLACED_FILES = (
    RESULTS_FILE,
    METRICS_FILE,
    CONFIG_FILE,
    PREDICTIONS_FILE,
    *(f"{CHECKPOINTS}/{name}" for name in (BEST_CHECKPOINT, LAST_CHECKPOINT)),
)


def is_unused(path: Path) -> bool:
    """Return whether a directory holds nothing but what is written there before a run has results.

    The plan or the lock of a run is there first, and the lock stays: without them, other files are somebody else's.

    Raises:
        OSError: a directory cannot be read.
    """
    names = {entry.name for entry in path.iterdir()}
    if names and names.isdisjoint((LOCK_FILE, PLAN_FILE, f"{PLAN_FILE}{WRITING_SUFFIX}")):
        return False

    def fail(error: OSError) -> None:
        raise error

    for directory, subdirectories, files in os.walk(path, onerror=fail):
        links = [name for name in subdirectories if Path(directory, name).is_symlink()]
        for name in (*files, *links):
            if Path(directory, name).relative_to(path).parts[0] not in _FILES_BEFORE_RESULTS:
                return False
    return True


def foreign_file_problem(path: Path) -> str | None:
    """Return which file of a run's directory is not the run's own, because it is a link to elsewhere or no file.

    Raises:
        OSError: the directory cannot be read.
    """
    kinds = dict.fromkeys(_OWN_DIRECTORIES, stat.S_ISDIR) | dict.fromkeys(_APPENDED_FILES, stat.S_ISREG)
    kinds |= dict.fromkeys(_REPLACED_FILES, lambda mode: stat.S_ISREG(mode) or stat.S_ISLNK(mode))
    for name, is_own in kinds.items():
        try:
            mode = (path / name).lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not is_own(mode):
            kind = "directory" if name in _OWN_DIRECTORIES else "regular file"
            return f"{path / name} must be a {kind}{', not a link' if stat.S_ISLNK(mode) else ''}"
    return None


def numbered_paths(path: Path) -> Iterator[Path]:
    """Yield a path and, with numbers appended, alternatives to it: `run`, `run-2`, `run-3`."""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.name}-{number}")


def make_unused_directory(wanted: Path) -> Path:
    """Make a directory, with a number appended if there is one of this name, and return its path.

    Of several processes that want the same name, each gets a directory of its own.

    Raises:
        OSError: it can't be made.
    """
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for path in numbered_paths(wanted):
        with suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError("there is always another number")


def resolve_checkpoint(path: Path) -> Path:
    """Return the checkpoint to continue from: `path` itself, or the last one of a run's directory."""
    try:
        is_directory = path.is_dir()
    except OSError:  # opening it raises the reason
        is_directory = False
    return path / CHECKPOINTS / LAST_CHECKPOINT if is_directory else path


class RunDirectory:
    """Writes the files of one run.

    Args:
        path: the directory, absolute for a run: the user's code may change the working directory.
        is_writer: whether this process writes; of several that train together, only rank 0 does.
    """

    def __init__(self, path: Path, *, is_writer: bool = True) -> None:
        self.path = path
        self.display_path = relative_path(path)
        """How messages show the directory: relative to the working directory, if it is below that."""
        self.is_writer = is_writer
        self.checkpoints = path / CHECKPOINTS
        self.best = self.checkpoints / BEST_CHECKPOINT
        self.last = self.checkpoints / LAST_CHECKPOINT
        self.results: RunResults | None = None
        """The results so far; None in a directory without a run."""

    def resumable_checkpoints(self) -> list[Path]:
        """Return the checkpoints that this directory's own run can continue from, the one to try first at the front.

        Raises:
            OSError: the directory cannot be read. That is no reason to start over.
        """
        return [checkpoint for checkpoint in (self.last, self.best) if is_regular_file(checkpoint)]

    def find_resume_checkpoint(self) -> Path | None:
        """Return the checkpoint that this directory's own run continues from, or None if it certainly has none."""
        try:
            return next(iter(self.resumable_checkpoints()), None)
        except OSError:
            return self.last

    def continues_by_itself(self, run_id: str, *, restart: bool) -> bool:
        """Return whether the directory holds a run, completed or with a checkpoint that it continues from.

        Args:
            run_id: of the run.
            restart: whether a run that is not completed starts over.
        """
        action = next_action(RunState.read(self.path), run_id, retry_failed=True, restart=restart)
        return action == Action.SKIP or (action == Action.RESUME and self.find_resume_checkpoint() is not None)

    @contextmanager
    def locked_for(self, run_id: str, *, restart: bool = False, ckpt_path: str | None = None) -> Iterator[Action]:
        """Lock the directory for a run, and yield what is to be done: SKIP, START, RESUME or RESTART.

        Before a run starts over, the checkpoints and curves of its previous attempt are put aside; the logs stay. A
        process that does not write takes no lock.

        Args:
            run_id: of the run.
            restart: whether a run that is not completed starts over.
            ckpt_path: what the run is to continue from, a checkpoint or a run's directory.

        Raises:
            RunFailedError: another process works there, the directory holds another run, damaged results or links, or
                the run would overwrite what `ckpt_path` names.
            OSError: the directory cannot be read or written.
        """
        if not self.is_writer:
            action = next_action(RunState.read(self.path), run_id, retry_failed=True)
            yield Action.SKIP if action == Action.SKIP else Action.START
            return
        if not acquire(self.path):
            raise RunFailedError(f"{self.display_path}: locked by another process")
        try:
            if problem := foreign_file_problem(self.path):
                raise RunFailedError(problem)
            state = RunState.read(self.path)
            action = next_action(state, run_id, retry_failed=True, restart=restart)
            if action == Action.REJECT:
                raise RunFailedError(f"{self.display_path}: {state.rejection({})}")
            if problem := self.ckpt_path_problem(action, ckpt_path):
                raise RunFailedError(f"ckpt_path={ckpt_path}: {problem}")
            if action != Action.SKIP:
                self._prepare(action)
            self.results = None if action == Action.RESTART else state.results
            yield action
        finally:
            release(self.path)

    def _prepare(self, action: Action) -> None:
        self.checkpoints.mkdir(exist_ok=True)
        for name in _TEMPORARY_FILES:
            (self.path / name).unlink(missing_ok=True)
        if action == Action.RESTART:
            # If this process is killed here, nothing is lost: the same command starts the run over again.
            event_files = sorted(self.path.glob("events.out.tfevents.[1-9]*"))
            self.put_aside(self.last, self.best, self.path / METRICS_FILE, self.path / PREDICTIONS_FILE, *event_files)

    def put_aside(self, *files: Path) -> Path | None:
        """Move files into a new directory, `checkpoints/attempt-1`; return it, or None if there is no file.

        Raises:
            OSError: a file cannot be moved.
        """
        files = tuple(file for file in files if os.path.lexists(file))
        if not files:
            return None
        for number in count(1):
            directory = self.checkpoints / f"attempt-{number}"
            with suppress(FileExistsError):
                directory.mkdir()
                break
        for file in files:
            file.rename(directory / file.name)
        return directory

    def begin(self, results: RunResults) -> None:
        """Write the results of a run that starts or continues."""
        self.results = results
        self.update()

    def update(self, **values: Any) -> None:
        """Set keys of the results and write results.json.

        Raises:
            OSError: it cannot be written; the keys are set nevertheless, and are written the next time.
        """
        assert self.results is not None, "begin() comes first"
        self.results = replace(self.results, **values)
        if self.is_writer:
            self.results.save(self.path)

    def update_if_possible(self, **values: Any) -> None:
        """Set keys of the results and write results.json, or log that it cannot be written.

        It is for the end of a run, whose error must not be replaced by that of a full disk. A results.json that still
        says `running` is that of an interrupted run to every reader.
        """
        try:
            self.update(**values)
        except OSError as error:
            log.warning("could not write %s: %s", self.display_path / RESULTS_FILE, error.strerror or error)

    def write_config(self, text: str) -> None:
        """Write the resolved configuration, as YAML."""
        if self.is_writer:
            with atomic_write(self.path / CONFIG_FILE) as file:
                file.write(text)

    def log_traceback(self, error: BaseException) -> None:
        """Append the traceback of an error to run.log, and to nothing else."""
        if not self.is_writer:
            return
        text = "".join(traceback.format_exception(error))
        with suppress(OSError), open_to_append(self.path / LOG_FILE) as file:
            file.write(text.encode("utf-8", "backslashreplace"))

    def ckpt_path_problem(self, action: Action, ckpt_path: str | None) -> str | None:
        """Return why this directory's run cannot do `action` without losing the checkpoint that `ckpt_path` names."""
        if ckpt_path is None or action == Action.SKIP:
            return None
        checkpoint = os.path.realpath(resolve_checkpoint(Path(ckpt_path)))
        own_checkpoints = [os.path.realpath(path) for path in (self.last, self.best)]
        if checkpoint in own_checkpoints and action == Action.RESTART:
            return "can't be combined with restart=true, which puts this checkpoint aside"
        if checkpoint in own_checkpoints[1:]:
            return "this run would overwrite it; without ckpt_path it continues from its last.ckpt"
        return None

    def copy_best_checkpoint(self, checkpoint: Path) -> None:
        """Copy the best checkpoint so far of the run that `checkpoint` belongs to, unless that is this directory's run.

        Raises:
            OSError: it cannot be read or written.
        """
        best = checkpoint.with_name(self.best.name)
        if not self.is_writer or os.path.realpath(best) == os.path.realpath(self.best) or not is_regular_file(best):
            return
        temporary = self.checkpoints / TEMPORARY_BEST_CHECKPOINT
        with remove_on_error(temporary):
            with open_to_read(best) as source, open_new(temporary) as target:
                shutil.copyfileobj(source, target)
            temporary.replace(self.best)
