"""A short version of the kill program."""

from pathlib import Path

import pytest

from tests.attacks.kill import Trial, try_kills


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of all trials, which share the undisturbed runs."""
    return tmp_path_factory.mktemp("kill")


@pytest.mark.parametrize("number", range(3))
def test_killed_run_ends_like_an_undisturbed_one(directory: Path, number: int) -> None:
    trial = try_kills(number, seed=43, directory=directory)
    assert trial == Trial(number, trial.kills, trial.num_kills, problem=None)
    assert trial.num_kills >= 1
