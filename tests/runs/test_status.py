"""Tests of statuses as they are stored."""

from cnn_experiments.runs.status import STORED_STATUSES, Status


def test_stored_statuses_are_the_words_of_results_json() -> None:
    assert [str(status) for status in STORED_STATUSES] == ["running", "completed", "failed", "interrupted"]
    assert f"{Status.NEW}" == "new"
