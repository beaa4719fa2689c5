"""Searches as a user types them."""

import json
import re
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from tests.conftest import epochs_of, results_of
from tests.sweep.test_sweep import SMOKE, start, until

Command = Callable[..., "subprocess.CompletedProcess[str]"]

SEARCH = ("-m", "hydra/sweeper=optuna", *SMOKE, "optimizer.lr=tag(log,interval(1e-4,0.1))", "sweep=mine")


def trials_in(folder: Path) -> list[FrozenTrial]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}")
    return optuna.load_study(study_name="search", storage=storage).trials


def test_a_search_goes_on_to_its_total_and_ends_in_a_command(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "mine"
    first = command(*SEARCH, "hydra.sweeper.n_trials=2")
    assert (first.returncode, first.stderr) == (0, "")
    assert "2 of 2 trials: 2 completed" in first.stdout
    more = command(*SEARCH, "hydra.sweeper.n_trials=3")
    assert more.returncode == 0
    assert "3 of 3 trials: 3 completed" in more.stdout
    trials = trials_in(folder)
    assert [trial.number for trial in trials] == [0, 1, 2]
    runs = {results_of(path.parent)["settings"]["optimizer.lr"]: path.parent for path in folder.glob("*/results.json")}
    for trial in trials:
        run = runs.pop(float(f"{trial.params['optimizer.lr']:.4g}"))
        assert trial.value == results_of(run)["metrics"]["val/acc"]
        assert [*trial.intermediate_values.values()] == [float(row["val/acc"]) for row in epochs_of(run)]
    assert runs == {}
    assert {"leaderboard.html", "leaderboard.md", "leaderboard.csv"} <= {path.name for path in folder.iterdir()}

    again = command(*SEARCH, "hydra.sweeper.n_trials=3")
    assert again.returncode == 0
    assert "lenet on digits" not in again.stdout
    best = max(trials, key=lambda trial: trial.value or 0.0)
    assert f"best: trial {best.number}, val/acc {best.value:.4f}" in again.stdout
    (line,) = re.findall(r"^python -m cnn_experiments (?!-m)(.*)$", again.stdout, re.MULTILINE)
    assert f"optimizer.lr={best.params['optimizer.lr']:.4g}" in shlex.split(line)
    repeated = command(*shlex.split(line), "hydra.run.dir=repeated")
    assert repeated.returncode == 0
    (found,) = (run for run in folder.glob("*/") if f"lr{best.params['optimizer.lr']:.4g}-" in run.name)
    assert results_of(tmp_path / "repeated")["metrics"] == results_of(found)["metrics"]

    for other, said in {
        "label_smoothing=0.1": "label_smoothing=0.1: must be left out as in the search in outputs/mine; sweep=NAME begins another\n",
        "optimizer=adam,sgd": "optimizer=adam,sgd: must be left out as in the search in outputs/mine; sweep=NAME begins another\n",
    }.items():
        refused = command(*SEARCH, other)
        assert (refused.returncode, refused.stderr) == (2, said)
    assert len(trials_in(folder)) == 3


def test_a_search_stops_at_a_signal_and_goes_on_with_the_trial(tmp_path: Path, command: Command) -> None:
    arguments = (*SEARCH, "hydra.sweeper.n_trials=2", "trainer.max_epochs=400", "trainer.limit_train_batches=5")
    folder = tmp_path / "outputs" / "mine"
    process = start(tmp_path, *arguments)
    until(lambda: any(results_of(path.parent)["epochs"] for path in folder.glob("*/results.json")))
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "1 of 2 trials: 1 interrupted\nto do the rest: the same command again" in said
    assert "outputs/mine: 0 trials, 2 wanted" in said
    assert [trial.state for trial in trials_in(folder)] == [TrialState.RUNNING]
    (run,) = folder.glob("*/results.json")
    assert json.loads(run.read_text())["status"] == "interrupted"
    two = [start(tmp_path, *arguments) for _ in range(2)]
    until(lambda: any(process.poll() is not None for process in two))
    assert sorted(process.poll() or 0 for process in two) == [0, 2]  # one at a time
    for process in two:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert [trial.number for trial in trials_in(folder)] == [0]
    assert (
        results_of(run.parent)["epochs"] == len(epochs_of(run.parent)) == len(trials_in(folder)[0].intermediate_values)
    )


def test_pruned_trials_are_stopped_in_their_runs(command: Command, tmp_path: Path) -> None:
    searched = ("model=lenet_bn", "optimizer.lr=interval(1e-7,2e-3)", "sweep=mine", "hydra.sweeper.n_trials=8")
    length = ("trainer.max_epochs=40", "trainer.limit_train_batches=4", "data.batch_size=32")
    jobs = ("hydra.launcher.jobs=2",)
    done = command("-m", "hydra/sweeper=optuna", *SMOKE, *searched, *length, *jobs, OMP_NUM_THREADS="1")
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "outputs" / "mine"
    trials = trials_in(folder)
    assert len(trials) == 8
    stopped = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert stopped
    for trial in stopped:
        (run,) = folder.glob(f"lenet_bn-lr{trial.params['optimizer.lr']:.4g}-*/")
        results, epoch = results_of(run), max(trial.intermediate_values)
        assert (results["status"], results["error"]) == ("interrupted", f"pruned after epoch {epoch}")
        assert epoch <= results["epochs"] < 40
        assert f"trial {trial.number}: pruned after epoch {epoch}" in done.stdout


def test_trials_that_diverge_are_failed_and_without_any_other_so_is_the_search(
    command: Command, tmp_path: Path
) -> None:
    arguments = ("-m", "hydra/sweeper=optuna", *SMOKE, "optimizer=sgd", "optimizer.lr=1e37,1e38", "sweep=mine")
    done = command(*arguments, "hydra.sweeper.n_trials=2", "trainer.max_epochs=5")
    assert done.returncode == 1
    assert "2 of 2 trials: 2 failed\nno trial is complete" in done.stdout
    assert "not finite" in done.stdout
    assert {trial.state for trial in trials_in(tmp_path / "outputs" / "mine")} == {TrialState.FAIL}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "hydra/sweeper=optuna: needs a setting to search, such as 'optimizer.lr=tag(log,interval(1e-4,1))'"),
        (("seed=0,1",), "seed=0,1: must be one value in a search; more seeds are for the best settings"),
        (("optimizer.lr=1,2", "data.val_size=0"), "data.val_size=0: must be 1 or more in a search, which goes by val/acc"),
        (("optimizer.lr=1,2", "task=inspect"), "task=inspect: must be train in a search"),
        (("optimizer.lr=1,2", "retry_failed=true"), "retry_failed=true: must be false in a search, which counts the trials that failed"),
        (("optimizer.lr=1,2", "hydra/launcher=joblib"), "hydra/launcher=joblib: must be local for a search"),
        (("optimizer.lr=1,2", "hydra.sweeper.pruner=medan"), "hydra.sweeper.pruner=medan: must be one of median, hyperband, none; the nearest is median"),
        (("optimizer.lr=interval(0.0,1.0)",), "optimizer.lr=0: must be a number above 0 (in data=digits trainer.accelerator=cpu trainer=smoke optimizer.lr=0)"),
        (("data.batch_size=interval(16,64)",), "data.batch_size=45.66: must be a whole number of 1 or more (in data=digits trainer.accelerator=cpu trainer=smoke data.batch_size=45.66); of whole numbers it is int(interval(...))"),
        (("seed=range(5,2)",), "seed=range(5,2): must have a number in it"),
        (("optimizer.lr=1,2", "hydra.launcher=joblib"), "hydra.launcher=joblib: an option is chosen with a slash, hydra/launcher=joblib"),
        (("model=lenet,alexnet",), "data.resize=28: this network takes images of 67 pixels or more, these have 28; the nearest is data.resize=67 (in data=digits trainer.accelerator=cpu trainer=smoke model=alexnet); on_impossible=drop counts such trials as failed"),
        (("optimzer.lr=1,2",), "optimzer.lr"),
    ],
    ids=str,
)  # fmt: skip
def test_bad_searches_are_refused_in_one_line(
    command: Command, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    refused = command("-m", "hydra/sweeper=optuna", *SMOKE, *arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith(said)
    assert refused.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["learning_rate", "training", "densenet"])
def test_ready_made_searches_can_be_begun(command: Command, tmp_path: Path, name: str) -> None:
    tried = command("-m", f"hydra/sweeper=optuna/{name}", "data=digits", "dry_run=true")
    trials = 40 if name == "training" else 20
    assert (tried.returncode, tried.stderr) == (0, "")
    assert tried.stdout == f"outputs/search-{name}-data: no trial yet, {trials} to do\n"
    assert list(tmp_path.iterdir()) == []
