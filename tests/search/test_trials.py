"""Tests of trials with runs that are not trained: the accuracy of a run depends on its learning rate alone."""

import sqlite3
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.study import Study
from optuna.trial import TrialState

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.fingerprint import run_id
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Status
from cnn_experiments.search.space import to_parameter
from cnn_experiments.search.trials import ActiveTrials, TrialObserver, TrialRuns, make_pruner, make_sampler
from cnn_experiments.sweep.plan import PlannedRun, RunPaths, find_runs_by_id
from tests.conftest import read_results

NUM_EPOCHS = 4
NOT_RECORDED = {"error": "the run recorded no end"}
"""The error that an executor reports, which must not replace the error that the run itself recorded."""


class StubConfig:
    """A configuration of which only the learning rate matters."""

    def __init__(self, overrides: list[str]) -> None:
        self.overrides = overrides
        self.overrides_by_key = dict(override.split("=") for override in overrides)
        self.choices = {"model": "lenet", "data": "digits"}
        learning_rate = float(self.overrides_by_key["optimizer.lr"])
        self.settings = {
            "seed": 0,
            "retry_failed": False,
            "optimizer": {"lr": learning_rate},
            "trainer": {"max_epochs": NUM_EPOCHS},
        }
        self.changed_settings = {"optimizer.lr": learning_rate}
        self.starts_over = False
        self.run_id = run_id(self.settings)


@dataclass
class StubSearch:
    """The scheduler that yields the runs of a search, and the observer that follows them."""

    scheduler: TrialRuns
    observer: TrialObserver


@pytest.fixture(autouse=True)
def reject_high_learning_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    def preflight(config: ComposedConfig, _: Path) -> None:
        if float(config.overrides_by_key["optimizer.lr"]) > 0.9:
            raise ConfigError("optimizer.lr", problem="can't work")

    monkeypatch.setattr("cnn_experiments.search.trials.preflight", preflight)
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return open_study(tmp_path)


def open_study(directory: Path, pruner: str = "median") -> Study:
    storage = optuna.storages.RDBStorage(f"sqlite:///{directory / 'study.db'}")
    return optuna.create_study(
        storage=storage,
        study_name="search",
        direction="maximize",
        pruner=make_pruner(pruner, NUM_EPOCHS),
        load_if_exists=True,
    )


def make_search(
    study: Study,
    directory: Path,
    num_trials: int,
    sampler: str = "tpe",
    stop_on_error: bool = False,
    values: str = "interval(0.0,1.0)",
) -> StubSearch:
    (override,) = OverridesParser.create().parse_overrides([f"optimizer.lr={values}"])
    known = find_runs_by_id(directory)
    active = ActiveTrials(study, stop_on_error)
    scheduler = TrialRuns(
        active,
        [to_parameter(override)],
        compose=lambda overrides: cast(ComposedConfig, StubConfig(overrides)),
        directories=RunPaths(directory, ["optimizer.lr"], known),
        num_trials=num_trials,
        sampler=lambda number: make_sampler(sampler, 0, number, max_parallel=1),
    )
    return StubSearch(scheduler, TrialObserver(active, stop_on_error, on_launch=lambda: None))


def accuracy_of(run: PlannedRun) -> float:
    """Return the accuracy that the run reaches in its last epoch."""
    return 1 - float(run.config.overrides_by_key["optimizer.lr"])


def write_run(run: PlannedRun, num_epochs: int, **values: Any) -> None:
    """Write the files that training leaves after some epochs."""
    run.directory.mkdir(parents=True, exist_ok=True)
    curve = [accuracy_of(run) * epoch / NUM_EPOCHS for epoch in range(1, num_epochs + 1)]
    (run.directory / "metrics.csv").write_text("\n".join(["val/acc", *map(str, curve), ""]))
    results = RunResults.initial(
        run.config.choices, run.config.overrides, run.config.settings, run.config.changed_settings
    )
    replace(results, **{"metrics": {"val/acc": curve[-1]}} | values).save(run.directory)


def execute(search: StubSearch, interrupt_after: int = 10**6) -> bool:
    """Act as an executor; return False if the search was interrupted in the middle of a run."""
    for number, run in enumerate(search.scheduler):
        search.observer.on_start(run)
        for epoch in range(1, NUM_EPOCHS + 1):
            write_run(run, epoch, status=Status.INTERRUPTED, signal="SIGTERM")
            if list(search.observer.runs_to_stop()):
                break
            if number >= interrupt_after and epoch == 2:
                search.observer.on_end(run, Status.INTERRUPTED, signal="SIGTERM")
                return False
        else:
            write_run(run, NUM_EPOCHS, status=Status.COMPLETED)
        if not search.observer.on_end(run, Status.FAILED, **NOT_RECORDED):
            break
    return True


def outcomes(study: Study) -> list[tuple[TrialState, dict[str, Any], float | None, dict[int, float]]]:
    return [(trial.state, trial.params, trial.value, trial.intermediate_values) for trial in study.trials]


def test_trials_below_the_median_are_pruned_at_the_first_epoch_below_it(study: Study, tmp_path: Path) -> None:
    execute(make_search(study, tmp_path, 12))
    trials = [trial for trial in study.trials if trial.state != TrialState.FAIL]
    assert {trial.state for trial in trials} == {TrialState.PRUNED, TrialState.COMPLETE}
    for index, trial in enumerate(trials):
        earlier = [other.intermediate_values[1] for other in trials[:index] if other.state == TrialState.COMPLETE]
        # The median pruner prunes no trial before five are complete.
        is_pruned = len(earlier) >= 5 and trial.intermediate_values[1] < statistics.median(earlier)
        assert (trial.state == TrialState.PRUNED) == is_pruned
        assert len(trial.intermediate_values) == (1 if is_pruned else NUM_EPOCHS)


def test_pruned_run_records_the_epoch(study: Study, tmp_path: Path) -> None:
    execute(make_search(study, tmp_path, 12))
    pruned = next(trial for trial in study.trials if trial.state == TrialState.PRUNED)
    (directory,) = tmp_path.glob(f"lenet-lr{pruned.params['optimizer.lr']:.4g}-*")
    results = read_results(directory)
    assert (results["status"], results["pruned_after_epoch"], results["error"]) == ("interrupted", 1, None)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_interrupted_search_has_the_same_trials_as_an_uninterrupted_one(
    tmp_path: Path, sampler: str, pruner: str
) -> None:
    uninterrupted = open_study(tmp_path, pruner)
    execute(make_search(uninterrupted, tmp_path / "uninterrupted", 15, sampler))
    directory = tmp_path / "interrupted"
    directory.mkdir()
    interrupted = open_study(directory, pruner)
    assert not execute(make_search(interrupted, directory / "runs", 15, sampler), interrupt_after=7)
    assert TrialState.RUNNING in {trial.state for trial in interrupted.trials}
    resumed = open_study(directory, pruner)
    assert execute(make_search(resumed, directory / "runs", 15, sampler))
    assert outcomes(resumed) == outcomes(uninterrupted)
    assert len({trial.params["optimizer.lr"] for trial in resumed.trials}) == 15


def test_number_of_trials_includes_those_of_earlier_commands(study: Study, tmp_path: Path) -> None:
    execute(make_search(study, tmp_path, 3))
    execute(make_search(study, tmp_path, 5))
    assert list(make_search(study, tmp_path, 4).scheduler) == []
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3, 4]


def test_failed_trial_is_counted_and_ends_the_search_only_with_stop_on_error(study: Study, tmp_path: Path) -> None:
    search = make_search(study, tmp_path, 2)
    for run in search.scheduler:
        search.observer.on_start(run)
        write_run(run, 1, status=Status.FAILED, error="the loss is not finite")
        assert search.observer.on_end(run, Status.FAILED, **NOT_RECORDED)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 2
    assert "the loss is not finite" in {trial.user_attrs["reason"] for trial in study.trials}
    stopping = make_search(study, tmp_path, 4, stop_on_error=True)
    run = next(iter(stopping.scheduler))
    stopping.observer.on_start(run)
    write_run(run, 1, status=Status.FAILED, error="the loss is not finite")
    assert not stopping.observer.on_end(run, Status.FAILED, **NOT_RECORDED)


def test_invalid_combination_is_a_failed_trial(study: Study, tmp_path: Path) -> None:
    execute(make_search(study, tmp_path, 30, sampler="random"))
    failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert failed
    assert all(trial.params["optimizer.lr"] > 0.9 for trial in failed)
    assert {trial.user_attrs["reason"] for trial in failed} == {"optimizer.lr: can't work"}


def test_completed_run_is_not_repeated(study: Study, tmp_path: Path) -> None:
    run = next(iter(make_search(study, tmp_path, 1).scheduler))
    write_run(run, NUM_EPOCHS, status=Status.COMPLETED)
    assert list(make_search(study, tmp_path, 1).scheduler) == []
    (trial,) = study.trials
    assert trial.value == pytest.approx(accuracy_of(run))
    assert list(trial.intermediate_values) == [1, 2, 3, 4]
    assert RunState.read(run.directory).status == "completed"


def test_pruning_is_decided_again_if_the_search_was_killed_after_a_report(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    execute(make_search(study, tmp_path, 6))
    num_ended = len(study.trials)
    assert sum(trial.state == TrialState.COMPLETE for trial in study.trials) >= 5
    far_below_the_median = "interval(0.85,0.89)"
    run = next(iter(make_search(study, tmp_path, num_ended + 1, values=far_below_the_median).scheduler))
    write_run(run, 1, status=Status.INTERRUPTED, signal="SIGTERM")
    optuna.trial.Trial(study, study.trials[-1]._trial_id).report(0.01, 1)  # and should_prune() was not called
    resumed = make_search(open_study(tmp_path), tmp_path, num_ended + 1, values=far_below_the_median)
    assert list(resumed.scheduler) == []
    assert study.trials[-1].state == TrialState.PRUNED


def test_failed_run_is_not_reported_as_pruned(study: Study, tmp_path: Path) -> None:
    execute(make_search(study, tmp_path, 6))
    num_ended = len(study.trials)
    search = make_search(study, tmp_path, num_ended + 1, values="interval(0.85,0.89)")
    run = next(iter(search.scheduler))
    write_run(run, 1, status=Status.FAILED, error="the loss is not finite")
    assert list(search.observer.runs_to_stop()) == [run]
    search.observer.on_end(run, Status.FAILED, **NOT_RECORDED)
    assert study.trials[-1].state == TrialState.FAIL
    assert study.trials[-1].user_attrs["reason"] == "the loss is not finite"


def test_invalid_trial_stops_a_search_that_stops_at_failures(study: Study, tmp_path: Path) -> None:
    search = make_search(study, tmp_path, 5, stop_on_error=True, values="interval(0.95,0.99)")
    assert list(search.scheduler) == []
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


@pytest.mark.parametrize("metrics", [{}, {"val/acc": None}])
def test_unreadable_metrics_do_not_stop_a_search(study: Study, tmp_path: Path, metrics: dict[str, None]) -> None:
    search = make_search(study, tmp_path, 1)
    run = next(iter(search.scheduler))
    write_run(run, 1, status=Status.COMPLETED, metrics=metrics)
    (run.directory / "metrics.csv").write_text("val/acc\nx\n")
    assert list(search.observer.runs_to_stop()) == []
    assert search.observer.on_end(run, Status.FAILED, **NOT_RECORDED)
    assert study.trials[0].user_attrs["reason"] == "val/acc was not measured"


def test_damaged_results_do_not_stop_a_search(study: Study, tmp_path: Path) -> None:
    search = make_search(study, tmp_path, 1)
    run = next(iter(search.scheduler))
    write_run(run, 1, status=Status.COMPLETED)
    (run.directory / "results.json").write_text('{"status": "completed", "metrics": null}')
    assert list(search.observer.runs_to_stop()) == []
    assert search.observer.on_end(run, Status.FAILED, **NOT_RECORDED)
    problem = "missing or of the wrong type: data, metrics, model, overrides, seed"
    assert study.trials[0].user_attrs["reason"] == f"results.json: {problem}"
    assert (run.directory / "results.json").read_text() == '{"status": "completed", "metrics": null}'


def test_end_of_a_run_is_recorded_also_if_the_study_cannot_be_written(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    search = make_search(study, tmp_path, 1)
    run = next(iter(search.scheduler))
    write_run(run, 1, status=Status.RUNNING)
    monkeypatch.setattr(optuna.trial.Trial, "report", fail)
    with pytest.raises(sqlite3.OperationalError):
        search.observer.on_end(run, Status.INTERRUPTED, signal="SIGTERM")
    assert read_results(run.directory)["status"] == "interrupted"
    assert read_results(run.directory)["signal"] == "SIGTERM"


def test_enqueued_trials_come_first(study: Study, tmp_path: Path) -> None:
    study.enqueue_trial({"optimizer.lr": 0.25})
    execute(make_search(study, tmp_path, 2))
    assert [trial.params["optimizer.lr"] == 0.25 for trial in study.trials] == [True, False]


def test_trial_without_overrides_is_failed(study: Study, tmp_path: Path) -> None:
    study.ask()
    assert list(make_search(study, tmp_path, 1).scheduler) == []
    assert study.trials[0].user_attrs["reason"] == "the search was killed before it started"


def test_trials_with_the_same_settings_share_a_run(study: Study, tmp_path: Path) -> None:
    search = make_search(study, tmp_path, 2, values="choice(0.5)")
    (run,) = search.scheduler
    search.observer.on_start(run)
    write_run(run, NUM_EPOCHS, status=Status.COMPLETED)
    assert search.observer.on_end(run, Status.FAILED, **NOT_RECORDED)
    assert [(trial.state, trial.value) for trial in study.trials] == [(TrialState.COMPLETE, 0.5)] * 2
    assert [list(trial.intermediate_values) for trial in study.trials] == [[1, 2, 3, 4]] * 2


def test_trials_that_share_a_run_are_pruned_together(study: Study, tmp_path: Path) -> None:
    execute(make_search(study, tmp_path, 6))
    num_ended = len(study.trials)
    search = make_search(study, tmp_path, num_ended + 2, values="interval(0.85,0.85)")
    (run,) = search.scheduler
    search.observer.on_start(run)
    write_run(run, 1, status=Status.INTERRUPTED, signal="SIGTERM")
    assert list(search.observer.runs_to_stop()) == [run]
    assert search.observer.on_end(run, Status.INTERRUPTED, signal="SIGTERM")
    assert [trial.state for trial in study.trials[num_ended:]] == [TrialState.PRUNED] * 2


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.INTERRUPTED])
def test_trial_of_a_run_in_another_process_gets_the_state_of_that_run(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: Status
) -> None:
    search = make_search(study, tmp_path, 1, values="choice(0.5)")
    (run,) = search.scheduler
    write_run(run, NUM_EPOCHS, status=status)
    search.observer.on_skip(run)
    assert f"trial 0: {run.directory.name} {status} by another process; skipped\n" in capsys.readouterr().out
    expected = {Status.COMPLETED: TrialState.COMPLETE, Status.INTERRUPTED: TrialState.RUNNING}[status]
    assert study.trials[0].state == expected
