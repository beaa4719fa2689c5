"""A sweep over a grid: which combinations there are, what of it is done, and what is to do."""

import logging
import sys
from collections.abc import Callable, Iterable, Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from cnn_experiments.config.command_line import setting
from cnn_experiments.config.composed import Combination, do_at_once
from cnn_experiments.config.schema import OF_A_SWEEP
from cnn_experiments.console import print_line
from cnn_experiments.errors import Refusal, RunFailedError
from cnn_experiments.report.leaderboard.show import report_leaderboard
from cnn_experiments.runs.directory import Standing
from cnn_experiments.runtime.signals import Interrupted
from cnn_experiments.sweep.hparams_table import write_columns
from cnn_experiments.sweep.monitor import Watch
from cnn_experiments.sweep.plan import Impossible, Places, checked, default_name, parsed, possible, sweep_folder, value
from cnn_experiments.sweep.run import Run
from cnn_experiments.sweep.settle import settle
from cnn_experiments.sweep.summary import tell_of_others, tell_plan, tell_runs

log = logging.getLogger(__name__)


def sweep(config: DictConfig, arguments: Sequence[str], launcher: Launcher) -> None:
    """Does what is missing of a sweep, and tells how all of it stands.

    Ends the program with status 0 if the task leaves no runs, and with 1 where not every run is complete.

    Args:
        config: the sweep's own configuration, as Hydra composed it.
        arguments: overrides, with one value or several.
        launcher: what runs are started with.

    Raises:
        Refusal: a combination can't work and is not to be left out, or none can.
        Interrupted: a signal came.
    """
    overrides = parsed(arguments)
    impossible = Impossible(drop=value(overrides, "on_impossible") == "drop")
    combinations = list(_composed(config, overrides, impossible))
    impossible.refuse(works=bool(combinations))
    if not all(combination.config.task.folder for combination in combinations):
        for combination in combinations:
            combination.check_parts()
        do_at_once(combinations)
        sys.exit(0)

    wanted = combinations[0].settings
    if wanted["on_error"] == "stop" and not hasattr(launcher, "run"):
        choice = config.hydra.runtime.choices["hydra/launcher"]
        raise Refusal(f"on_error=stop: must be continue with hydra/launcher={choice}; local and slurm can stop")
    named = wanted["sweep"] or any(each.startswith("hydra.sweep.dir=") for each in config.hydra.overrides.hydra)
    folder = sweep_folder(config, wanted["sweep"] or default_name(overrides))
    varied = [override.key_or_group for override in overrides if override.is_sweep_override()]
    runs = _planned(Places(folder, varied), combinations)
    waiting = [run for run in runs if _is_to_do(run.standing, retry_failed=wanted["retry_failed"])]
    if waiting and not wanted["dry_run"]:
        getattr(launcher, "warm_up", lambda: None)()
    waiting = list(possible(waiting, impossible))
    impossible.refuse(works=len(runs) > len(impossible.combinations))
    runs = [run for run in runs if run.combination not in impossible.combinations]
    if not named:
        tell_of_others(folder, waiting)
    if wanted["dry_run"]:
        tell_plan(folder, runs, waiting, impossible, at_once=getattr(launcher, "at_once", 1))
        return
    interruption = None
    if waiting:
        interruption = _launch(launcher, waiting, wanted["on_error"], lambda: write_columns(folder, runs))
    else:
        write_columns(folder, runs)
    tell_runs(runs, impossible, folder)
    if interruption is not None:
        raise interruption
    if any(run.standing.results for run in runs):
        report_leaderboard([folder], output_dir=folder)
    if any(run.standing.status != "completed" for run in runs):
        sys.exit(1)


def _composed(config: DictConfig, overrides: list[Override], impossible: Impossible) -> Iterable[Combination]:
    for override in overrides:
        if override.is_interval_sweep():
            raise Refusal(
                f"{override.input_line}: must be single values in a grid; hydra/sweeper=optuna searches ranges"
            )
    (batch,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    for typed in batch:
        try:
            yield checked(config, typed)
        except Refusal as refusal:
            if str(refusal).partition("=")[0] in OF_A_SWEEP:
                raise
            impossible.refusals.append(refusal)


def _planned(places: Places, combinations: Iterable[Combination]) -> list[Run]:
    """Every run once."""
    once: dict[str, Combination] = {}
    for combination in combinations:
        once.setdefault(combination.identity, combination)
    return [Run(combination, places.of(combination)) for combination in once.values()]


def _is_to_do(standing: Standing, retry_failed: bool) -> bool:
    return standing.status in ("new", "interrupted") or (standing.status == "failed" and retry_failed)


def _launch(launcher: Launcher, runs: Sequence[Run], on_error: str, at_first: Callable[[], None]) -> Interrupted | None:
    """Starts them, and waits for all of them."""
    interruption = None
    try:
        if hasattr(launcher, "run"):
            launcher.run(runs, Watch(len(runs), on_error, at_first))
        else:
            at_first()
            jobs = [[*run.combination.overrides, setting("hydra.sweep.subdir", run.folder.name)] for run in runs]
            launcher.launch(jobs, initial_job_idx=0)
    except Interrupted as error:
        interruption = error
    except Refusal:
        raise
    except RunFailedError as error:
        print_line(str(error), style="red")
    except Exception:  # a launcher of Hydra's may give up where a process is killed; the folders tell the rest
        log.exception("%s ended before its runs", type(launcher).__name__)
    for run in runs:
        if run.standing.results.get("status") == "running":
            stopped = "interrupted", interruption.signal if interruption else ""
            settle(run, *(stopped if interruption else ("failed", "its process ended without a word")))
    return interruption
