"""Where a task that makes no run writes: never over a file that is there."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.console import relative_path
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.directory import make_unused_directory
from cnn_experiments.runs.path_errors import check_printable, path_errors

_KEY = "task.to"


@contextmanager
def output_directory(config: ComposedConfig, parent: Path, files: Sequence[str]) -> Iterator[Path]:
    """Make the directory that a task writes its files to before it works, and remove it if nothing was written.

    It is `task.to`, or else a new one that has the name of the task: `predict`, `predict-2`.

    Args:
        config: what was typed.
        parent: where a new one is made, such as the directory of the run whose network is used.
        files: the names of the files that the task writes there.

    Raises:
        ConfigError: it can't be made or written, or one of the files is there already.
    """
    typed = config.settings["task"]["to"]
    directory = Path(typed) if typed is not None else parent / config.task
    check_printable(_KEY, directory)
    is_new = not directory.exists() or typed is None
    with path_errors(_KEY, directory):
        if typed is None:
            directory = make_unused_directory(directory)
        directory.mkdir(parents=True, exist_ok=True)
    try:
        _check_usable(typed, directory, files)
        yield directory
    finally:
        if is_new:
            with suppress(OSError):  # it is not empty
                directory.rmdir()


def _check_usable(typed: str | None, directory: Path, files: Sequence[str]) -> None:
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigError(_KEY, typed, problem=f"no permission to write to {relative_path(directory)}")
    if existing := [name for name in files if os.path.lexists(directory / name)]:
        problem = f"it holds {', '.join(existing)} already, and nothing is overwritten"
        raise ConfigError(_KEY, typed, problem=problem, remedy=f"choose another one with {_KEY}=DIRECTORY")
