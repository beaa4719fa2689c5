"""Tests of planning the runs of a sweep and their directories."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Action, Status
from cnn_experiments.sweep.grid import _GridSweep
from cnn_experiments.sweep.plan import (
    InvalidCombinations,
    PlannedRun,
    RunPaths,
    StoredRun,
    default_name,
    drop_invalid,
    find_runs_by_id,
    plan_runs,
)
from tests.config.test_composed import sweep_config


def compose(*overrides: str) -> ComposedConfig:
    return ComposedConfig.from_overrides("data=digits", *overrides)


def write_results(directory: Path, config: ComposedConfig, status: Status) -> None:
    directory.mkdir(parents=True)
    results = RunResults.initial(config.choices, config.overrides, config.settings, config.changed_settings)
    replace(results, status=status).save(directory)


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["model=lenet,nin", "data.batch_size=64"], "model-batch_size"),
        (["seed=0,1", "model=lenet"], "model-seed"),
        (["model=lenet", "trainer.max_epochs=3", "trainer=cpu"], "model"),  # one value of the trainer does not count
        (["model=lenet", "trainer.max_epochs=3,4"], "model-max_epochs"),
        (["model=lenet", "sweep=null", "on_error=stop", "on_invalid=skip", "dry_run=true"], "model"),
        (["trainer=smoke"], "sweep"),
        ([], "sweep"),
    ],
)
def test_default_name_consists_of_the_typed_keys(overrides: list[str], name: str) -> None:
    assert default_name(OverridesParser.create().parse_overrides(overrides)) == name


def test_run_directory_is_named_after_network_and_varying_values(tmp_path: Path) -> None:
    directories = RunPaths(tmp_path, ["model", "optimizer", "optimizer.lr", "compile"], {})
    config = compose("model=nin", "optimizer=sgd", "optimizer.lr=0.5", "compile=True")
    assert directories.path_for(config) == tmp_path / f"nin-sgd-lr0.5-compiletrue-{config.run_id[:8]}"
    assert not any(tmp_path.iterdir())


def test_run_directory_is_that_of_a_known_run(tmp_path: Path) -> None:
    config = compose("seed=1")
    known = {config.run_id: StoredRun(tmp_path / "known", RunState(Status.COMPLETED, None))}
    assert RunPaths(tmp_path, ["seed"], known).path_for(config) == tmp_path / "known"
    assert list(known) == [config.run_id]


def test_run_directory_with_other_files_is_not_reused(tmp_path: Path) -> None:
    config = compose("seed=1")
    path = RunPaths(tmp_path, ["seed"], {}).path_for(config)
    assert path == tmp_path / f"lenet-seed1-{config.run_id[:8]}"
    path.mkdir()
    for name in (".lock", "run.log"):  # which exist before a run has results
        (path / name).touch()
    assert RunPaths(tmp_path, ["seed"], {}).path_for(config) == path
    (path / "thesis.tex").touch()
    path.with_name(f"{path.name}-2").touch()
    directories = RunPaths(tmp_path, ["seed"], {})
    assert directories.path_for(config) == path.with_name(f"{path.name}-3")
    assert directories.path_for(compose("seed=1")) == path.with_name(f"{path.name}-3")


def test_equal_configurations_are_planned_once(tmp_path: Path) -> None:
    configs = [compose("seed=1"), compose("seed=2"), compose("seed=1", "trainer.accelerator=cpu")]
    runs = plan_runs(RunPaths(tmp_path, ["seed"], {}), configs)
    assert [run.config for run in runs] == configs[:2]
    assert [run.directory.name.rpartition("-")[0] for run in runs] == ["lenet-seed1", "lenet-seed2"]


def test_runs_are_found_by_id_and_a_completed_one_is_preferred(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = compose("seed=1"), compose("seed=2")
    write_results(tmp_path / "a", first, Status.FAILED)
    write_results(tmp_path / "b", first, Status.COMPLETED)
    write_results(tmp_path / "c", first, Status.INTERRUPTED)
    write_results(tmp_path / "d", second, Status.FAILED)
    write_results(tmp_path / "e", second, Status.INTERRUPTED)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "results.json").write_text("[]")
    (tmp_path / "new").mkdir()
    (tmp_path / "leaderboard.md").touch()
    runs = find_runs_by_id(tmp_path)
    assert {run_id: (run.directory, run.state.status) for run_id, run in runs.items()} == {
        first.run_id: (tmp_path / "b", "completed"),
        second.run_id: (tmp_path / "d", "failed"),
    }
    problem = "must hold an object, not a list"
    consequence = "its run is not counted; a run that repeats it trains in a new directory"
    line = f"{tmp_path}/damaged/results.json is damaged ({problem}); {consequence}\n"
    assert capsys.readouterr().out == line
    assert find_runs_by_id(tmp_path / "missing") == {}


def test_interrupted_run_of_another_process_is_continued_also_with_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["cnn_experiments"])
    sweep = sweep_config("restart=true", "sweep=mine")
    config = ComposedConfig.compose(sweep, ["data=digits", "seed=3", "restart=true"])
    run = PlannedRun(config, tmp_path / "run")
    write_results(run.directory, config, Status.INTERRUPTED)
    grid = object.__new__(_GridSweep)
    grid._config, grid._settings, grid._states = sweep, config.settings, {}
    (continued,) = grid._wait_for([run])
    assert (run.next_action(), continued.next_action()) == (Action.RESTART, Action.RESUME)
    assert continued.config.overrides == ["data=digits", "seed=3", "restart=false"]
    assert (continued.directory, continued.config.run_id) == (run.directory, config.run_id)


def test_next_action_of_a_planned_run_follows_from_its_results(tmp_path: Path) -> None:
    run = PlannedRun(compose("seed=1"), tmp_path / "run")
    assert run.next_action() == Action.START
    write_results(run.directory, run.config, Status.FAILED)
    assert run.next_action() == Action.SKIP
    assert replace(run, config=compose("seed=1", "retry_failed=true")).next_action() == Action.RESUME
    assert replace(run, config=compose("seed=1", "restart=true")).next_action() == Action.RESTART
    assert replace(run, config=compose("seed=2")).next_action() == Action.REJECT


def test_command_line_of_a_run_names_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["program", "-m", "seed=1,2"])
    run = PlannedRun(compose("seed=1"), tmp_path / "it's")
    directory = f"hydra.run.dir='{tmp_path}/it\\'s'"
    assert run.argv == ["program", "data=digits", "seed=1", directory, "hydra.mode=RUN"]


@pytest.mark.parametrize(
    ("source", "key"), [(["ckpt_path=gone"], "ckpt_path"), (["init=checkpoint", "init.path=gone"], "init.path")]
)
def test_run_that_continues_from_its_own_checkpoint_does_not_need_another(
    tmp_path: Path, source: list[str], key: str
) -> None:
    configs = [compose(*source, f"seed={seed}") for seed in (0, 1)]
    directories = {config.run_id: tmp_path / f"run{seed}" for seed, config in enumerate(configs)}
    write_results(tmp_path / "run0", configs[0], Status.INTERRUPTED)
    (tmp_path / "run0" / "checkpoints").mkdir()
    (tmp_path / "run0" / "checkpoints" / "last.ckpt").touch()
    invalid = InvalidCombinations(skip=True)
    assert drop_invalid(configs, invalid, directories) == configs[:1]
    (error,) = invalid.errors
    assert (error.key, str(error.value)) == (key, "gone")


def test_run_of_a_sweep_that_slurm_has_requeued_does_not_start_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = PlannedRun(compose("restart=true"), tmp_path / "run")
    write_results(run.directory, run.config, Status.INTERRUPTED)
    assert run.next_action() == Action.RESTART
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert run.next_action() == Action.RESUME


def test_progress_of_the_checks_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptions = []

    def with_progress(items: Sequence[ComposedConfig], description: str) -> Sequence[ComposedConfig]:
        descriptions.append(description)
        return items

    monkeypatch.setattr("cnn_experiments.sweep.plan.with_progress", with_progress)
    drop_invalid([], InvalidCombinations(skip=True), directories={})
    assert descriptions == ["checking the combinations"]


def test_invalid_runs_are_left_out_and_checked_once_for_all_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Mapping[str, Any]] = []

    def preflight(config: ComposedConfig, _: Path | None) -> None:
        checked.append(config.overrides_by_key)
        if config.choices["model"] == "nin":
            raise ConfigError("data.resize", 28, problem="too small")

    monkeypatch.setattr("cnn_experiments.sweep.plan.preflight", preflight)
    configs = [compose(f"model={model}", f"seed={seed}") for model in ("lenet", "nin") for seed in (0, 1)]
    invalid = InvalidCombinations(skip=True)
    assert drop_invalid(configs, invalid, directories={}) == configs[:2]
    assert invalid.configs == configs[2:]
    assert [str(error) for error in invalid.errors] == ["data.resize=28: too small"] * 2
    assert [(typed["model"], typed["seed"]) for typed in checked] == [("lenet", "0"), ("nin", "0")]


@pytest.mark.parametrize(
    ("skip", "num_errors", "any_valid", "message"),
    [
        (False, 0, True, None),
        (True, 2, True, None),
        (False, 1, True, "seed=a: no; on_invalid=skip skips invalid combinations"),
        (False, 3, True, "seed=a: no; 2 more combinations are invalid; on_invalid=skip skips invalid combinations"),
        (False, 2, False, "seed=a: no; 1 more combination is invalid"),
        (True, 1, False, "seed=a: no"),
    ],
)
def test_invalid_combinations_end_the_sweep_unless_skipped(
    skip: bool, num_errors: int, any_valid: bool, message: str | None
) -> None:
    invalid = InvalidCombinations(skip)
    invalid.errors += [ConfigError("seed", value, problem="no") for value in "abc"[:num_errors]]
    if message is None:
        invalid.raise_unless_skipped(any_valid)
        return
    with pytest.raises(ConfigError) as error:
        invalid.raise_unless_skipped(any_valid)
    assert str(error.value) == message
