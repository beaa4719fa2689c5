"""Trials as runs, with training made up: what a run reaches depends on its learning rate alone."""

import json
import statistics
from pathlib import Path
from typing import Any, cast

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.study import Study
from optuna.trial import TrialState

from cnn_experiments.config.composed import Combination
from cnn_experiments.errors import Refusal
from cnn_experiments.runs.directory import Standing
from cnn_experiments.search.space import parameter
from cnn_experiments.search.trials import Trials, pruner_of, sampler_of
from cnn_experiments.sweep.plan import Places
from cnn_experiments.sweep.run import Run
from tests.conftest import results_of

EPOCHS = 4


class Drawn:
    """Stands for a combination."""

    def __init__(self, overrides: list[str]) -> None:
        self.overrides = overrides
        self.typed = dict(override.split("=") for override in overrides)
        self.options = {"model": "lenet"}
        self.identity = f"{self.typed['optimizer.lr']:0>16}"
        self.settings = {"trainer": {"max_epochs": EPOCHS}}

    def check_parts(self) -> None:
        if float(self.typed["optimizer.lr"]) > 0.9:
            raise Refusal("optimizer.lr: can't work")


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return opened(tmp_path)


def opened(folder: Path, pruner: str = "median") -> Study:
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}")
    return optuna.create_study(
        storage=storage,
        study_name="search",
        direction="maximize",
        pruner=pruner_of(pruner, EPOCHS),
        load_if_exists=True,
    )


def trials_of(
    study: Study,
    folder: Path,
    wanted: int,
    sampler: str = "tpe",
    on_error: str = "continue",
    values: str = "interval(0.0,1.0)",
) -> Trials:
    (override,) = OverridesParser.create().parse_overrides([f"optimizer.lr={values}"])
    return Trials(
        study,
        [parameter(override)],
        combination=lambda overrides: cast(Combination, Drawn(overrides)),
        places=Places(folder, ["optimizer.lr"]),
        wanted=wanted,
        sampler=lambda number: sampler_of(sampler, 0, number, at_once=1),
        on_error=on_error,
    )


def write(run: Run, epochs: int, **facts: Any) -> None:
    """What training leaves behind."""
    run.folder.mkdir(parents=True, exist_ok=True)
    accuracy = 1 - float(run.combination.typed["optimizer.lr"])
    curve = [accuracy * epoch / EPOCHS for epoch in range(1, epochs + 1)]
    (run.folder / "metrics.csv").write_text("\n".join(["val/acc", *map(str, curve), ""]))
    results = {"identity": run.combination.identity, "metrics": {"val/acc": curve[-1]} if curve else {}} | facts
    (run.folder / "results.json").write_text(json.dumps(results))


def train(trials: Trials, stop_behind: int = 10**6) -> bool:
    """Plays the launcher; False where a signal came in the middle of a run."""
    for number, run in enumerate(trials):
        trials.started(run)
        for epoch in range(1, EPOCHS + 1):
            write(run, epoch, status="interrupted", error="SIGTERM")
            if list(trials.unwanted()):
                break
            if number >= stop_behind and epoch == 2:
                trials.ended(run, "interrupted", "SIGTERM")
                return False
        else:
            write(run, EPOCHS, status="completed")
        if not trials.ended(run, "failed", "unheard of"):
            break
    return True


def told(study: Study) -> list[tuple[TrialState, dict[str, Any], float | None, dict[int, float]]]:
    return [(each.state, each.params, each.value, each.intermediate_values) for each in study.trials]


def test_trials_below_the_median_are_pruned_at_the_first_epoch_that_shows_it(study: Study, tmp_path: Path) -> None:
    train(trials_of(study, tmp_path, 12))
    trials = [trial for trial in study.trials if trial.state != TrialState.FAIL]
    assert {trial.state for trial in trials} == {TrialState.PRUNED, TrialState.COMPLETE}
    for place, trial in enumerate(trials):
        first = [each.intermediate_values[1] for each in trials[:place] if each.state == TrialState.COMPLETE]
        # The median pruner lets five trials go first.
        pruned = len(first) >= 5 and trial.intermediate_values[1] < statistics.median(first)
        assert (trial.state == TrialState.PRUNED) == pruned
        assert len(trial.intermediate_values) == (1 if pruned else EPOCHS)


def test_a_pruned_run_says_so(study: Study, tmp_path: Path) -> None:
    train(trials_of(study, tmp_path, 12))
    pruned = next(trial for trial in study.trials if trial.state == TrialState.PRUNED)
    (folder,) = tmp_path.glob(f"lenet-lr{pruned.params['optimizer.lr']:.4g}-*")
    assert (results_of(folder)["status"], results_of(folder)["error"]) == ("interrupted", "pruned after epoch 1")


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_an_interrupted_search_ends_as_an_undisturbed_one(tmp_path: Path, sampler: str, pruner: str) -> None:
    undisturbed = opened(tmp_path, pruner)
    train(trials_of(undisturbed, tmp_path / "one", 15, sampler))
    other = tmp_path / "other"
    other.mkdir()
    interrupted = opened(other, pruner)
    assert not train(trials_of(interrupted, other / "runs", 15, sampler), stop_behind=7)
    assert TrialState.RUNNING in {trial.state for trial in interrupted.trials}
    again = opened(other, pruner)
    assert train(trials_of(again, other / "runs", 15, sampler))
    assert told(again) == told(undisturbed)
    assert len({trial.params["optimizer.lr"] for trial in again.trials}) == 15


def test_the_total_is_what_counts(study: Study, tmp_path: Path) -> None:
    train(trials_of(study, tmp_path, 3))
    train(trials_of(study, tmp_path, 5))
    assert list(trials_of(study, tmp_path, 4)) == []
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3, 4]


def test_failures_are_counted_and_not_fatal(study: Study, tmp_path: Path) -> None:
    trials = trials_of(study, tmp_path, 2)
    for run in trials:
        trials.started(run)
        write(run, 1, status="failed", error="the loss is not finite")
        assert trials.ended(run, "failed", "unheard of")
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 2
    assert "the loss is not finite" in {trial.user_attrs["reason"] for trial in study.trials}
    stopping = trials_of(study, tmp_path, 4, on_error="stop")
    run = next(iter(stopping))
    stopping.started(run)
    write(run, 1, status="failed", error="the loss is not finite")
    assert not stopping.ended(run, "failed", "unheard of")


def test_what_cannot_work_is_a_failed_trial(study: Study, tmp_path: Path) -> None:
    train(trials_of(study, tmp_path, 30, sampler="random"))
    failed = [trial for trial in study.trials if trial.state == TrialState.FAIL]
    assert failed
    assert all(trial.params["optimizer.lr"] > 0.9 for trial in failed)
    assert {trial.user_attrs["reason"] for trial in failed} == {"optimizer.lr: can't work"}


def test_a_run_that_is_there_is_not_repeated(study: Study, tmp_path: Path) -> None:
    run = next(iter(trials_of(study, tmp_path, 1)))
    write(run, EPOCHS, status="completed")
    assert list(trials_of(study, tmp_path, 1)) == []
    (trial,) = study.trials
    assert trial.value == pytest.approx(1 - float(run.combination.typed["optimizer.lr"]))
    assert list(trial.intermediate_values) == [1, 2, 3, 4]
    assert Standing.of(run.folder).status == "completed"


def test_a_search_that_was_killed_behind_a_report_asks_again(tmp_path: Path) -> None:
    study = opened(tmp_path)
    train(trials_of(study, tmp_path, 6))
    ended = len(study.trials)
    assert sum(trial.state == TrialState.COMPLETE for trial in study.trials) >= 5
    run = next(iter(trials_of(study, tmp_path, ended + 1, values="interval(0.85,0.89)")))  # far below the median
    write(run, 1, status="interrupted", error="SIGTERM")
    optuna.trial.Trial(study, study.trials[-1]._trial_id).report(0.01, 1)  # and no more
    assert list(trials_of(opened(tmp_path), tmp_path, ended + 1, values="interval(0.85,0.89)")) == []
    assert study.trials[-1].state == TrialState.PRUNED


def test_a_failure_is_none_of_the_accuracy(study: Study, tmp_path: Path) -> None:
    train(trials_of(study, tmp_path, 6))
    ended = len(study.trials)
    trials = trials_of(study, tmp_path, ended + 1, values="interval(0.85,0.89)")
    run = next(iter(trials))
    write(run, 1, status="failed", error="the loss is not finite")
    assert list(trials.unwanted()) == [run]
    trials.ended(run, "failed", "unheard of")
    assert study.trials[-1].state == TrialState.FAIL
    assert study.trials[-1].user_attrs["reason"] == "the loss is not finite"


def test_a_refused_trial_stops_a_search_that_stops_at_failures(study: Study, tmp_path: Path) -> None:
    assert list(trials_of(study, tmp_path, 5, on_error="stop", values="interval(0.95,0.99)")) == []
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


def test_files_that_cannot_be_read_stop_no_search(study: Study, tmp_path: Path) -> None:
    trials = trials_of(study, tmp_path, 1)
    run = next(iter(trials))
    write(run, 1, status="completed", metrics=None)
    (run.folder / "metrics.csv").write_text("val/acc\nx\n")
    assert list(trials.unwanted()) == []
    assert trials.ended(run, "failed", "unheard of")
    assert study.trials[0].user_attrs["reason"] == "val/acc was not measured"


def test_trials_put_in_line_from_outside_come_first(study: Study, tmp_path: Path) -> None:
    study.enqueue_trial({"optimizer.lr": 0.25})
    train(trials_of(study, tmp_path, 2))
    assert [trial.params["optimizer.lr"] == 0.25 for trial in study.trials] == [True, False]


def test_a_trial_that_was_drawn_and_no_more_is_failed(study: Study, tmp_path: Path) -> None:
    study.ask()
    assert list(trials_of(study, tmp_path, 1)) == []
    assert study.trials[0].user_attrs["reason"] == "the search was killed before it began"


def test_a_run_that_is_drawn_again_meanwhile_counts_for_both(study: Study, tmp_path: Path) -> None:
    trials = trials_of(study, tmp_path, 2, values="choice(0.5)")
    (run,) = trials
    trials.started(run)
    write(run, EPOCHS, status="completed")
    assert trials.ended(run, "failed", "unheard of")
    assert [(trial.state, trial.value) for trial in study.trials] == [(TrialState.COMPLETE, 0.5)] * 2
    assert [list(trial.intermediate_values) for trial in study.trials] == [[1, 2, 3, 4]] * 2


def test_a_twin_is_given_up_with_its_run(study: Study, tmp_path: Path) -> None:
    train(trials_of(study, tmp_path, 6))
    ended = len(study.trials)
    trials = trials_of(study, tmp_path, ended + 2, values="interval(0.85,0.85)")
    (run,) = trials
    trials.started(run)
    write(run, 1, status="interrupted", error="SIGTERM")
    assert list(trials.unwanted()) == [run]
    assert trials.ended(run, "interrupted", "SIGTERM")
    assert [trial.state for trial in study.trials[ended:]] == [TrialState.PRUNED] * 2
