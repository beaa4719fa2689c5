"""Tests of the lock of a directory, with several processes."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.lock import acquire, check_locks, is_locked, locked, release
from cnn_experiments.runs.path_errors import path_errors

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


def test_lock_does_not_outlive_its_release_in_a_forked_process(tmp_path: Path) -> None:
    """`flock` belongs to the open file, which a forked process has, too."""
    assert acquire(tmp_path)
    (lock_file,) = (fd for fd in Path("/proc/self/fd").iterdir() if os.path.realpath(fd) == f"{tmp_path}/.lock")
    inherited = os.dup(int(lock_file.name))  # as a fork copies it
    release(tmp_path)
    assert not is_locked(tmp_path)
    os.close(inherited)


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


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as a file system without locks."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", fail)


@pytest.mark.usefixtures("no_locks")
def test_directory_on_a_file_system_without_locks_is_rejected(tmp_path: Path) -> None:
    for lock in (acquire, check_locks):
        with pytest.raises(OSError, match=r"^\[Errno \d+\] its file system has no locks \(flock\), .*: '/"):
            lock(tmp_path)
    with pytest.raises(ConfigError) as error, path_errors("hydra.run.dir", tmp_path):
        acquire(tmp_path)
    assert str(error.value) == (
        f"hydra.run.dir={tmp_path}: can't be used: its file system has no locks (flock), without which two processes "
        "could work on the same run; choose another one with hydra.run.dir=DIRECTORY"
    )
    assert not is_locked(tmp_path)


def test_check_of_locks_leaves_nothing(tmp_path: Path) -> None:
    check_locks(tmp_path / "new" / "below")
    assert list(tmp_path.iterdir()) == []


def test_directory_is_locked_during_a_block(tmp_path: Path) -> None:
    other = start(ACQUIRE, tmp_path)
    assert other.stdout is not None
    assert other.stdout.readline() == "True\n"
    with locked(tmp_path) as is_acquired:
        assert not is_acquired
    other.communicate()
    with locked(tmp_path / "new") as is_acquired:
        assert is_acquired
        late = start(ACQUIRE, tmp_path / "new")
        assert late.stdout is not None
        assert late.stdout.readline() == "False\n"
    late.communicate()


@pytest.mark.parametrize("name", ["there", "not_there"])
def test_probe_creates_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "there").mkdir()
    assert not is_locked(tmp_path / name)
    assert list((tmp_path / "there").iterdir()) == []
    assert not (tmp_path / "not_there").exists()
