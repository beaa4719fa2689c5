"""What of the machine each of several runs gets. The pool itself is tried by whole sweeps."""

import pytest

from cnn_experiments.sweep.executors.local import Share, in_words, shares


@pytest.mark.parametrize(
    ("jobs", "threads", "gpus", "dealt"),
    [
        (2, 2, [], [Share(1, ()), Share(1, ())]),
        (2, 16, ["0", "1", "2", "3"], [Share(8, ("0", "2")), Share(8, ("1", "3"))]),
        (4, 16, ["5", "7"], [Share(4, ("5",)), Share(4, ("7",)), Share(4, ("5",)), Share(4, ("7",))]),
        (3, 2, ["0"], [Share(1, ("0",))] * 3),
        (1, 8, ["0", "1"], [Share(8, ("0", "1"))]),
    ],
)
def test_threads_and_gpus_are_dealt_out(jobs: int, threads: int, gpus: list[str], dealt: list[Share]) -> None:
    assert shares(jobs, threads, gpus) == dealt


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (-9, ("failed", "SIGKILL")),
        (-15, ("interrupted", "SIGTERM")),
        (130, ("interrupted", "SIGINT")),
        (137, ("failed", "SIGKILL")),
        (7, ("failed", "its process ended with status 7")),
        (0, ("failed", "its process ended with status 0")),
    ],
)
def test_an_exit_status_in_words(status: int, words: tuple[str, str]) -> None:
    assert in_words(status) == words
