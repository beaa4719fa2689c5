"""What a sweep planned a run to be: its process compares this with what it composes itself.

A file of the configuration may be edited while a sweep runs. A plan counts only while the process that wrote it lives,
as far as this machine knows: what a killed sweep leaves behind rejects no run.
"""

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cnn_experiments.errors import ConfigError, format_value
from cnn_experiments.runs.atomic import atomic_write
from cnn_experiments.runs.fingerprint import differing_keys, effective_settings, run_id
from cnn_experiments.runs.lock import LOCK_FILE
from cnn_experiments.runs.regular_file import open_to_append, read_text

PLAN_FILE = ".plan.json"
_MAX_BYTES = 1_000_000

_SETTINGS, _ERROR, _WRITER = "settings", "error", "writer"
_ZOMBIE = "Z"
"""The state of a process that has ended and that its parent has not waited for yet."""


def write_plan(directory: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings that a run is planned to have into its directory, which is made if it does not exist."""
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory, {_SETTINGS: effective_settings(settings), _WRITER: _this_process()})


def check_plan(directory: Path, settings: Mapping[str, Any]) -> None:
    """Check that a run has the settings that it was planned to have, if it belongs to a sweep that runs now.

    The plan of a sweep that was killed is removed.

    Raises:
        ConfigError: a setting differs.
    """
    plan = _read(directory)
    if _is_abandoned(plan):
        _remove(directory)
        return
    planned, current = plan.get(_SETTINGS), effective_settings(settings)
    if not isinstance(planned, dict) or run_id(planned) == run_id(current):
        return
    for key in differing_keys(planned, current):
        before = f"it was {format_value(planned[key])}" if key in planned else "it did not exist"
        problem = f"configuration changed since the sweep started; {before}"
        if key not in current:
            raise ConfigError(f"~{key}", problem=problem)
        raise ConfigError(key, current[key], problem=problem)


def record_rejection(directory: Path, message: str) -> None:
    """Tell the sweep that planned a run why its process rejects it; without a plan nothing is written."""
    plan = _read(directory)
    if plan and not _is_abandoned(plan):
        with suppress(OSError):
            _write(directory, plan | {_ERROR: message})


@contextmanager
def rejection_recorded(directory: Path | None) -> Iterator[Path | None]:
    """Yield the directory of a run, and record there why the block rejects the run."""
    try:
        yield directory
    except ConfigError as error:
        if directory is not None:
            record_rejection(directory, str(error))
        raise


def remove_plan(directory: Path) -> str | None:
    """Remove the plan of a run whose process has ended, and return why it rejected the run, if it did."""
    error = _read(directory).get(_ERROR)
    _remove(directory)
    return error if isinstance(error, str) else None


def _remove(directory: Path) -> None:
    """Remove the plan; if the run has left other files, its lock file tells from now on whose they are."""
    with suppress(OSError):
        (directory / PLAN_FILE).unlink()
        if any(directory.iterdir()):
            open_to_append(directory / LOCK_FILE).close()


def _this_process() -> dict[str, Any]:
    return {"host": platform.node(), "pid": os.getpid(), "start": _state_and_start(os.getpid())[1]}


def _is_abandoned(plan: Mapping[str, Any]) -> bool:
    """Return whether the sweep that wrote a plan has ended; of a process on another machine that isn't known."""
    writer = plan.get(_WRITER)
    if not isinstance(writer, dict) or not isinstance(pid := writer.get("pid"), int):
        return False
    if writer.get("host") != platform.node():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass  # it is somebody else's
    state, start = _state_and_start(pid)
    is_another_process = start is not None and start != writer.get("start")
    return state == _ZOMBIE or is_another_process


def _state_and_start(pid: int) -> tuple[str | None, str | None]:
    """Return the state of a process, and its start, which tells it from a later one with this number.

    They are None where there is no /proc.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None, None
    state, *numbers = stat.rpartition(")")[2].split()  # the name in parentheses may have any character
    return state, numbers[18]


def _read(directory: Path) -> dict[str, Any]:
    """Return the content of the file; nothing if there is none, or if it can't be read."""
    try:
        content = json.loads(read_text(directory / PLAN_FILE, _MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(directory: Path, content: Mapping[str, Any]) -> None:
    with atomic_write(directory / PLAN_FILE) as file:
        json.dump(content, file)
