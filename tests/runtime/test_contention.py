"""Other programs on the cores of a training are noticed."""

import sys
import threading
import time

import pytest

from cnn_experiments.runtime import contention
from cnn_experiments.runtime.contention import waiting_seconds, watched_cores

INTERVAL = 0.01


class Waiting:
    """Threads that wait for a core for a share of the time that a caller lets pass."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += self.share * INTERVAL
        return self.seconds


def watch(monkeypatch: pytest.MonkeyPatch, share: float, threads: int) -> tuple[int, int]:
    """Return how often the spinning was limited, and how often contention was reported."""
    limited, reported = [], []
    monkeypatch.setattr(contention, "_INTERVAL_SECONDS", INTERVAL)
    monkeypatch.setattr(contention, "waiting_seconds", Waiting(share))
    monkeypatch.setattr(contention, "_limit_spinning", lambda: limited.append(threading.current_thread()))
    with watched_cores(threads, lambda: reported.append(threading.current_thread())):
        time.sleep(20 * INTERVAL)
    assert threading.main_thread() not in (*limited, *reported)
    return len(limited), len(reported)


def test_contention_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch(monkeypatch, share=1.0, threads=2) == (1, 1)


def test_single_thread_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch(monkeypatch, share=0.5, threads=1) == (0, 1)


def test_little_waiting_is_no_contention(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch(monkeypatch, share=0.3, threads=2) == (0, 0)


def test_system_that_does_not_tell_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contention, "waiting_seconds", lambda: None)
    num_threads = threading.active_count()
    with watched_cores(2, lambda: None):
        assert threading.active_count() == num_threads


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_waiting_of_threads_is_never_negative() -> None:
    before, after = waiting_seconds(), waiting_seconds()
    assert before is not None
    assert after is not None
    assert 0 <= before <= after
