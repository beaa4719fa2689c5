"""What is written down about runs that could not do so themselves."""

import json
from pathlib import Path

import pytest

from cnn_experiments.config.composed import Combination
from cnn_experiments.sweep.run import Run
from cnn_experiments.sweep.settle import settle
from tests.conftest import configured, results_of


class Known(Combination):
    """A combination that was not typed."""

    options = {"model": "lenet", "data": "digits"}  # noqa: RUF012
    overrides = ["data=digits"]  # noqa: RUF012


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Known(configured("data=digits", "seed=3"), hydra=configured()), tmp_path / "run")


def test_a_run_that_was_killed_has_failed_and_says_so_in_its_log(run: Run) -> None:
    run.folder.mkdir()
    (run.folder / "results.json").write_text(json.dumps({"status": "running", "epochs": 3}))
    assert settle(run, "failed", "SIGKILL").status == "failed"
    results = results_of(run.folder)
    assert (results["status"], results["error"], results["epochs"], results["seed"]) == ("failed", "SIGKILL", 3, 3)
    assert (run.folder / "run.log").read_text().endswith("[ERROR] failed: SIGKILL\n")


def test_a_run_that_never_came_to_its_folder_has_one_then(run: Run) -> None:
    assert settle(run, "interrupted", "SIGTERM").status == "new"
    assert not run.folder.exists()
    assert settle(run, "failed", "SIGSEGV").status == "failed"
    results = results_of(run.folder)
    assert (results["overrides"], results["options"]["model"]) == (["data=digits"], "lenet")
    assert results["identity"] == run.combination.identity


@pytest.mark.parametrize("status", ["completed", "failed", "interrupted"])
def test_what_a_run_wrote_itself_stands(run: Run, status: str) -> None:
    run.folder.mkdir()
    (run.folder / "results.json").write_text(json.dumps({"status": status, "error": "its own"}))
    assert settle(run, "failed", "SIGKILL").status == status
    assert results_of(run.folder) == {"status": status, "error": "its own"}
