"""Fixtures of the tests of leaderboards."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cnn_experiments.report.leaderboard.groups import Leaderboard, build_leaderboard
from cnn_experiments.runs.records import find_runs

ReadLeaderboard = Callable[[], Leaderboard]


@pytest.fixture
def read_leaderboard(tmp_path: Path) -> ReadLeaderboard:
    """Return a function that builds the leaderboard of the runs written so far."""

    def read() -> Leaderboard:
        runs, damaged = find_runs([tmp_path / "runs"])
        assert damaged == []
        return build_leaderboard(runs)

    return read
