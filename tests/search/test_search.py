"""Tests of searches from the command line."""

import json
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from cnn_experiments.runtime.signals import Interrupted
from cnn_experiments.search.search import search
from cnn_experiments.sweep.executors.base import RunObserver
from cnn_experiments.sweep.executors.local import LocalExecutor
from cnn_experiments.sweep.plan import PlannedRun
from tests.config.test_composed import sweep_config
from tests.conftest import read_epochs, read_results
from tests.sweep.test_sweep import SMOKE, start, wait_until

Command = Callable[..., "subprocess.CompletedProcess[str]"]

SEARCH = ("-m", "hydra/sweeper=optuna", *SMOKE, "optimizer.lr=tag(log,interval(1e-4,0.1))", "sweep=mine")


def load_trials(directory: Path) -> list[FrozenTrial]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{directory / 'study.db'}")
    return optuna.load_study(study_name="search", storage=storage).trials


def test_search_continues_to_its_number_of_trials_and_prints_the_best_command(command: Command, tmp_path: Path) -> None:
    directory = tmp_path / "outputs" / "mine"
    first = command(*SEARCH, "hydra.sweeper.n_trials=2")
    assert (first.returncode, first.stderr) == (0, "")
    assert "2 of 2 trials: 2 completed" in first.stdout
    second = command(*SEARCH, "hydra.sweeper.n_trials=3")
    assert second.returncode == 0
    assert "3 of 3 trials: 3 completed" in second.stdout
    trials = load_trials(directory)
    assert [trial.number for trial in trials] == [0, 1, 2]
    runs = {
        read_results(path.parent)["settings"]["optimizer.lr"]: path.parent for path in directory.glob("*/results.json")
    }
    for trial in trials:
        run = runs.pop(float(f"{trial.params['optimizer.lr']:.4g}"))
        assert trial.value == read_results(run)["metrics"]["val/acc"]
        assert [*trial.intermediate_values.values()] == [float(row["val/acc"]) for row in read_epochs(run)]
    assert runs == {}
    assert {"leaderboard.html", "leaderboard.md", "leaderboard.csv"} <= {path.name for path in directory.iterdir()}

    third = command(*SEARCH, "hydra.sweeper.n_trials=3", "tags=[paper]", "note=again")
    assert third.returncode == 0, third.stderr
    assert "lenet on digits" not in third.stdout
    best = max(trials, key=lambda trial: trial.value or 0.0)
    assert f"best: trial {best.number}, val/acc {best.value:.4f}" in third.stdout
    (line,) = re.findall(r"^python -m cnn_experiments (?!-m)(.*)$", third.stdout, re.MULTILINE)
    assert f"optimizer.lr={best.params['optimizer.lr']:.4g}" in shlex.split(line)
    repeated = command(*shlex.split(line), "hydra.run.dir=repeated")
    assert repeated.returncode == 0
    (best_run,) = (run for run in directory.glob("*/") if f"lr{best.params['optimizer.lr']:.4g}-" in run.name)
    assert read_results(tmp_path / "repeated")["metrics"] == read_results(best_run)["metrics"]

    for override in ("loss.label_smoothing=0.1", "optimizer=adam,sgd"):
        rejected = command(*SEARCH, override)
        message = f"{override}: must be left out, as in the search in outputs/mine; sweep=NAME starts a new one\n"
        assert (rejected.returncode, rejected.stderr) == (2, message)
    assert len(load_trials(directory)) == 3


def test_interrupted_search_continues_with_its_trial(tmp_path: Path, command: Command) -> None:
    arguments = (*SEARCH, "hydra.sweeper.n_trials=2", "trainer.max_epochs=400", "trainer.limit_train_batches=5")
    directory = tmp_path / "outputs" / "mine"
    process = start(tmp_path, *arguments)
    wait_until(lambda: any(read_results(path.parent)["epochs"] for path in directory.glob("*/results.json")))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 130
    assert "1 of 2 trials: 1 interrupted\nto continue, run the same command again" in output
    assert "outputs/mine: 0 trials, 2 wanted" in output
    assert [trial.state for trial in load_trials(directory)] == [TrialState.RUNNING]
    (run,) = directory.glob("*/results.json")
    assert json.loads(run.read_text())["status"] == "interrupted"
    continuing = start(tmp_path, *arguments)
    wait_until(lambda: read_results(run.parent)["status"] == "running")
    second = command(*arguments)
    message = "outputs/mine: locked by another search; sweep=NAME starts a new one\n"
    assert (second.returncode, second.stderr) == (2, message)  # one at a time
    continuing.send_signal(signal.SIGINT)
    continuing.communicate()
    assert continuing.returncode == 130
    (trial,) = load_trials(directory)
    assert trial.number == 0
    assert read_results(run.parent)["epochs"] == len(read_epochs(run.parent)) == len(trial.intermediate_values)


def test_runs_of_pruned_trials_are_stopped(command: Command, tmp_path: Path) -> None:
    search_space = ("model=lenet_bn", "optimizer.lr=interval(1e-7,2e-3)", "sweep=mine", "hydra.sweeper.n_trials=8")
    training_length = ("trainer.max_epochs=40", "trainer.limit_train_batches=4", "data.batch_size=32")
    jobs = ("hydra.launcher.jobs=2",)
    result = command("-m", "hydra/sweeper=optuna", *SMOKE, *search_space, *training_length, *jobs, OMP_NUM_THREADS="1")
    assert (result.returncode, result.stderr) == (0, "")
    directory = tmp_path / "outputs" / "mine"
    trials = load_trials(directory)
    assert len(trials) == 8
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert pruned
    for trial in pruned:
        (run,) = directory.glob(f"lenet_bn-lr{trial.params['optimizer.lr']:.4g}-*/")
        results, epoch = read_results(run), max(trial.intermediate_values)
        assert (results["status"], results["pruned_after_epoch"], results["error"]) == ("interrupted", epoch, None)
        assert epoch <= results["epochs"] < 40
        assert f"trial {trial.number}: pruned after epoch {epoch}" in result.stdout


def test_search_fails_if_no_trial_is_completed(command: Command, tmp_path: Path) -> None:
    arguments = (
        "-m",
        "hydra/sweeper=optuna",
        *SMOKE,
        "optimizer=sgd",
        "optimizer.lr=1e5,1e6",
        "optimizer.weight_decay=1e6",
        "sweep=mine",
    )
    result = command(*arguments, "hydra.sweeper.n_trials=2", "trainer.max_epochs=5")
    assert result.returncode == 1
    assert "2 of 2 trials: 2 failed\nno trial is completed" in result.stdout
    assert "NaN or infinite" in result.stdout
    assert {trial.state for trial in load_trials(tmp_path / "outputs" / "mine")} == {TrialState.FAIL}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "hydra/sweeper=optuna: needs a setting to search, such as 'optimizer.lr=tag(log,interval(1e-4,1))'"),
        (("seed=0,1",), "seed=0,1: must be one value in a search; more seeds are for the best settings"),
        (("optimizer.lr=1,2", "data.val_size=0"), "data.val_size=0: must be >= 1 in a search, which compares trials by val/acc"),
        (("optimizer.lr=1,2", "monitor=val/loss,val/acc"), "monitor=val/loss,val/acc: must be one value in a search, which compares trials by it"),
        (("optimizer.lr=1,2", "task=inspect"), "task=inspect: must be train in a search"),
        (("optimizer.lr=1,2", "retry_failed=true"), "retry_failed=true: must be false in a search, which counts failed trials"),
        (("optimizer.lr=1,2", "hydra/launcher=joblib"), "hydra/launcher=joblib: must be local for a search"),
        (("optimizer.lr=1,2", "hydra.sweeper.pruner=medan"), "hydra.sweeper.pruner=medan: must be one of median, hyperband, none; did you mean median?"),
        (("optimizer.lr=interval(0.0,1.0)",), "optimizer.lr=0: must be a number > 0 (in data=digits trainer.accelerator=cpu trainer=smoke optimizer.lr=0)"),
        (("data.batch_size=interval(16,64)",), "data.batch_size=45.66: must be an integer >= 1 (in data=digits trainer.accelerator=cpu trainer=smoke data.batch_size=45.66); for integers, write int(interval(...))"),
        (("optimizer.lr=interval(0.1,inf)",), "optimizer.lr=interval(0.1,inf): must have finite ends"),
        (("optimizer.lr=1,2", "hydra.sweeper.params=3"), "hydra.sweeper.params=3: must be a dictionary of overrides"),
        (("data.batch_size=range(1,1000000000)",), "data.batch_size=range(1,1000000000): must not contain more than 100,000 numbers; int(interval(...)) may"),
        (("seed=range(5,2)",), "seed=range(5,2): must contain a number"),
        (("optimizer.lr=1,2", "hydra.launcher=joblib"), "hydra.launcher=joblib: options are chosen with a slash; did you mean hydra/launcher=joblib?"),
        (("model=lenet,alexnet",), "data.resize=28: this network needs images of at least 67 pixels, these have 28; did you mean data.resize=67? (in data=digits trainer.accelerator=cpu trainer=smoke model=alexnet); on_invalid=skip counts such trials as failed"),
        (("optimzer.lr=1,2",), "optimzer.lr=1,2: unknown key; "),
    ],
    ids=str,
)  # fmt: skip
def test_invalid_search_is_rejected_in_one_line(
    command: Command, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    rejected = command("-m", "hydra/sweeper=optuna", *SMOKE, *arguments)
    assert (rejected.returncode, rejected.stdout) == (2, "")
    assert rejected.stderr.startswith(message)
    assert rejected.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "num_trials"), [("learning_rate", 20), ("training", 40), ("densenet", 20)])
def test_predefined_search_can_be_started(command: Command, tmp_path: Path, name: str, num_trials: int) -> None:
    result = command("-m", f"hydra/sweeper=optuna/{name}", "data=digits", "dry_run=true")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"outputs/search-{name}-data: no trials yet, {num_trials} to do\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [None, Interrupted(signal.SIGINT)])
def test_study_that_cannot_be_read_any_more_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Interrupted | None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cnn_experiments"])
    file = Path("outputs/mine/study.db")

    class Executor(LocalExecutor):
        def run(self, runs: Iterable[PlannedRun], observer: RunObserver) -> None:
            with closing(sqlite3.connect(file)) as connection, connection:
                connection.execute("DROP TABLE trials")
            if error is not None:
                raise error
            list(runs)

    def run_search() -> int:
        config = sweep_config(*SMOKE, "hydra/sweeper=optuna", "sweep=mine", "optimizer.lr=1,2")
        options: dict[str, Any] = {"n_trials": 1, "sampler": "tpe", "pruner": "none", "seed": 0}
        arguments = [*SMOKE, "sweep=mine", "optimizer.lr=1,2"]
        return search(config, arguments, Executor(1), lambda *_, **__: True, **options)

    if error is None:
        assert run_search() == 1
    else:
        with pytest.raises(Interrupted):
            run_search()
    assert capsys.readouterr().out == (
        "outputs/mine: 0 trials, 1 wanted\n"
        f"{file} could not be read or written: no such table: trials\n"
        "to continue, run the same command again\n"
    )
