"""What is written down about runs that could not do so themselves."""

import json
from pathlib import Path

import pytest

from cnn_experiments.combination import Combination
from cnn_experiments.sweep.settle import settle
from tests.conftest import configured, results_of


class Known(Combination):
    """A combination that was not typed."""

    options = {"model": "lenet", "data": "digits"}  # noqa: RUF012
    overrides = ["data=digits"]  # noqa: RUF012


@pytest.fixture
def run() -> Combination:
    return Known(configured("data=digits", "seed=3"), hydra=configured())


def test_a_run_that_was_killed_has_failed_and_says_so_in_its_log(tmp_path: Path, run: Combination) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"status": "running", "epochs": 3}))
    assert settle(tmp_path, run, "failed", "SIGKILL").status == "failed"
    results = results_of(tmp_path)
    assert (results["status"], results["error"], results["epochs"], results["seed"]) == ("failed", "SIGKILL", 3, 3)
    assert (tmp_path / "run.log").read_text().endswith("[ERROR] failed: SIGKILL\n")


def test_a_run_that_never_came_to_its_folder_has_one_then(tmp_path: Path, run: Combination) -> None:
    assert settle(tmp_path / "run", run, "interrupted", "SIGTERM").status == "new"
    assert not (tmp_path / "run").exists()
    assert settle(tmp_path / "run", run, "failed", "SIGSEGV").status == "failed"
    results = results_of(tmp_path / "run")
    assert (results["overrides"], results["options"]["model"]) == (["data=digits"], "lenet")
    assert results["identity"] == run.identity


@pytest.mark.parametrize("status", ["completed", "failed", "interrupted"])
def test_what_a_run_wrote_itself_stands(tmp_path: Path, run: Combination, status: str) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"status": status, "error": "its own"}))
    assert settle(tmp_path, run, "failed", "SIGKILL").status == status
    assert results_of(tmp_path) == {"status": status, "error": "its own"}
