"""A short version of the program that fills the disk."""

import sys
from pathlib import Path

import pytest

from tests.attacks.faulty_program import Fault
from tests.attacks.full_disk import Trial, small_disk, try_fault, try_full_disk
from tests.attacks.small_run import VARIANTS, Outcome, reference

WORDS = VARIANTS["adam"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, list[str]]:
    """Return the outcome of an undisturbed run, and its file operations."""
    outcome, operations, _ = reference(tmp_path_factory.mktemp("undisturbed") / "run", WORDS)
    return outcome, operations


def after_first_checkpoint(operations: list[str]) -> int:
    """Return the number of the operation that follows the first checkpoint."""
    number = next(i for i, line in enumerate(operations, 1) if line.startswith("os.rename") and "last." in line)
    return number + 1


def test_run_continues_when_a_full_disk_has_room_again(tmp_path: Path, undisturbed: tuple[Outcome, list[str]]) -> None:
    expected, operations = undisturbed
    trial = Trial(after_first_checkpoint(operations), "", bytes_left=20_000)
    try:
        with small_disk(tmp_path) as disk:
            try_full_disk(trial, WORDS, expected, disk)
    except (PermissionError, FileNotFoundError) as error:
        pytest.skip(f"only root can mount a small disk: {error}")
    assert (trial.problems, trial.statuses, trial.epochs_kept) == ([], [1, 0], 1), trial.lines


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a file's size ends the process elsewhere")
def test_run_continues_after_its_checkpoint_could_not_be_written(
    tmp_path: Path, undisturbed: tuple[Outcome, list[str]]
) -> None:
    expected, operations = undisturbed
    trial = Trial(after_first_checkpoint(operations), "", bytes_left=0)
    fault = Fault(operation=trial.operation, largest_file=20_000)
    try_fault(trial, WORDS, expected, tmp_path, fault)
    assert (trial.problems, trial.statuses, trial.epochs_kept) == ([], [1, 0], 1), trial.lines
