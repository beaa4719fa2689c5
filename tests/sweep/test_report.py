"""Tests of what can go wrong with the leaderboard at the end of a sweep."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.errors import ConfigError
from cnn_experiments.runtime.signals import Interrupted, interruptible
from cnn_experiments.sweep.report import write_report


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device"), "no leaderboard: No space left on device"),
        (KeyError("axes"), "no leaderboard: KeyError: 'axes'"),
        (
            ConfigError("outputs/mine", problem="no run can be read"),
            "no leaderboard: outputs/mine: no run can be read",
        ),
    ],
)
def test_leaderboard_that_fails_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    def report(*_: Any, **__: Any) -> bool:
        raise error

    assert write_report(report, tmp_path)  # there are no runs
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").touch()
    assert not write_report(report, tmp_path)
    assert capsys.readouterr().out.partition(" (test_report.py")[0].rstrip() == line


def test_signal_ends_the_sweep_after_its_leaderboard(tmp_path: Path) -> None:
    written = []

    def report(*_: Any, **__: Any) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        written.append(1)
        return True

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").touch()
    with interruptible(), pytest.raises(Interrupted):
        write_report(report, tmp_path)
    assert written == [1]
