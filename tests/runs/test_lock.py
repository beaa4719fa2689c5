"""Tests of the lock of a directory, with several processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from cnn_experiments.runs.lock import acquire, is_locked, release

ACQUIRE = """
import sys
from pathlib import Path
from cnn_experiments.runs.lock import acquire
print(acquire(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""

PROBE_MANY_TIMES = """
import sys
from pathlib import Path
from cnn_experiments.runs.lock import is_locked
print(sum(is_locked(Path(sys.argv[1])) for _ in range(3000)))
"""


def start(script: str, directory: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_one_process_has_the_lock_until_it_ends(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    other = start(ACQUIRE, tmp_path)
    assert other.stdout is not None
    assert other.stdout.readline() == "True\n"
    assert is_locked(tmp_path)
    assert not acquire(tmp_path)
    other.kill()
    other.communicate()
    assert not is_locked(tmp_path)
    assert acquire(tmp_path)
    release(tmp_path)


def test_own_lock_is_not_that_of_another_process(tmp_path: Path) -> None:
    assert acquire(tmp_path)
    assert acquire(tmp_path)
    assert not is_locked(tmp_path)
    release(tmp_path)


def test_probes_do_not_see_each_other(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    probes = [start(PROBE_MANY_TIMES, tmp_path) for _ in range(3)]
    assert [probe.communicate()[0] for probe in probes] == ["0\n"] * 3


def test_lock_is_acquired_while_another_process_probes(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    probe = start(PROBE_MANY_TIMES, tmp_path)
    while probe.poll() is None:
        assert acquire(tmp_path)
        release(tmp_path)
    probe.communicate()


@pytest.mark.parametrize("name", ["there", "not_there"])
def test_probe_creates_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "there").mkdir()
    assert not is_locked(tmp_path / name)
    assert list((tmp_path / "there").iterdir()) == []
    assert not (tmp_path / "not_there").exists()
