"""A sweep over a grid: which combinations there are, what of it is done, and what is to do."""

import logging
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, read_write
from omegaconf.errors import OmegaConfBaseException
from rich.table import Table
from rich.text import Text

from cnn_experiments.combination import Combination, do_at_once
from cnn_experiments.console import print_line, print_table
from cnn_experiments.errors import Refusal, RunFailedError
from cnn_experiments.interruption import Interrupted
from cnn_experiments.refusals import explain
from cnn_experiments.report.show import show
from cnn_experiments.run_folder import Standing, is_free, short
from cnn_experiments.settings import OF_A_SWEEP, flat
from cnn_experiments.sweep.command import setting
from cnn_experiments.sweep.names import run_name, sweep_name, word
from cnn_experiments.sweep.run import Run
from cnn_experiments.sweep.settle import settle
from cnn_experiments.sweep.table import write_columns
from cnn_experiments.sweep.watch import STYLES, Watch, reason, status_of

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
    overrides = _parsed(arguments)
    impossible = _Impossible(drop=_value(overrides, "on_impossible") == "drop")
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
    folder = _folder(config, overrides, wanted["sweep"])
    varied = [override.key_or_group for override in overrides if override.is_sweep_override()]
    runs = _planned(folder, combinations, [key for key in varied if key != "model"])
    waiting = [run for run in runs if _is_to_do(run.standing, retry_failed=wanted["retry_failed"])]
    if waiting and not wanted["dry_run"]:
        getattr(launcher, "warm_up", lambda: None)()
    waiting = list(_possible(waiting, impossible))
    impossible.refuse(works=len(runs) > len(impossible.combinations))
    runs = [run for run in runs if run.combination not in impossible.combinations]
    if not named:
        _tell_of_others(folder, waiting)
    if wanted["dry_run"]:
        _tell_plan(folder, runs, waiting, impossible, at_once=getattr(launcher, "at_once", 1))
        return
    write_columns(folder, runs)
    interruption = _launch(launcher, waiting, wanted["on_error"]) if waiting else None
    _tell(runs, impossible, folder)
    if interruption is not None:
        raise interruption
    if any(run.standing.results for run in runs):
        show([folder], to=folder)
    if any(run.standing.status != "completed" for run in runs):
        sys.exit(1)


class _Impossible:
    """Combinations that can't work: refused, or left out where that is asked for."""

    def __init__(self, drop: bool) -> None:
        self.refusals: list[Refusal] = []
        self.combinations: list[Combination] = []
        self._drop = drop

    def refuse(self, works: bool) -> None:
        """Now that all are known, where they are not to be left out or nothing works without them."""
        if self.refusals and not (self._drop and works):
            others = len(self.refusals) - 1
            more = f"; {others} more can't work" if others else ""
            remedy = "; on_impossible=drop leaves that out" if works else ""
            raise Refusal(f"{self.refusals[0]}{more}{remedy}") from self.refusals[0]


def _parsed(arguments: Sequence[str]) -> list[Override]:
    overrides = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(list(arguments))
    for override in overrides:
        if override.key_or_group in OF_A_SWEEP and override.is_sweep_override():
            raise Refusal(f"{override.input_line}: must be one value, for the sweep as a whole")
    return overrides


def _value(overrides: Iterable[Override], key: str) -> object:
    return next((override.value() for override in overrides if override.key_or_group == key), None)


def _composed(config: DictConfig, overrides: list[Override], impossible: _Impossible) -> Iterable[Combination]:
    (batch,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    for typed in batch:
        try:
            combination = Combination.of_a_sweep(config, typed)
            combination.check()
        except Refusal as refusal:
            if str(refusal).partition("=")[0] in OF_A_SWEEP:
                raise
            impossible.refusals.append(refusal)
        except OmegaConfBaseException as error:
            impossible.refusals.append(Refusal(f"{explain(error)} (in {' '.join(typed)})"))
        else:
            yield combination


def _possible(runs: Iterable[Run], impossible: _Impossible) -> Iterable[Run]:
    """Those whose parts work together; that does not depend on the seed."""
    found: dict[str, Refusal | None] = {}
    for run in runs:
        settings = flat(run.combination.settings).items()
        key = str([(key, value) for key, value in settings if key not in ("seed", "data.seed")])
        if key not in found:
            found[key] = None
            try:
                run.combination.check_parts()
            except Refusal as refusal:
                found[key] = refusal
        if refusal_of_it := found[key]:
            impossible.refusals.append(refusal_of_it)
            impossible.combinations.append(run.combination)
        else:
            yield run


def _folder(config: DictConfig, overrides: Iterable[Override], name: str | None) -> Path:
    """The sweep's, which its configuration then names."""
    with read_write(config):
        config.sweep = name or sweep_name(
            override.key_or_group
            for override in overrides
            if override.key_or_group not in OF_A_SWEEP
            and (override.is_sweep_override() or override.key_or_group.partition(".")[0] != "trainer")
        )
    HydraConfig.instance().set_config(config)
    folder = Path(config.hydra.sweep.dir)
    if folder.exists() and not folder.is_dir():
        raise Refusal(f"hydra.sweep.dir={folder}: must be a folder; this is a file")
    with read_write(config.hydra):
        # Runs are composed afresh, from the overrides.
        config.hydra.overrides.hydra.append(setting("hydra.sweep.dir", folder))
    return folder


def _planned(folder: Path, combinations: Sequence[Combination], varied: Sequence[str]) -> list[Run]:
    """Every run once, where it is already or will be: named after its network and the settings that vary."""
    there = _there(folder)
    planned: dict[str, Run] = {}
    for combination in combinations:
        identity = combination.identity
        if identity in planned:
            continue
        options, typed = combination.options, combination.typed
        words = [options["model"], *(word(key, typed[key], options) for key in varied)]
        where = there.get(identity) or _new(folder / run_name(words, identity))
        planned[identity] = Run(combination, where)
    return list(planned.values())


def _there(folder: Path) -> dict[str, Path]:
    """The runs in a sweep's folder by their identity; of several, one that is complete."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.exists() else []:
        if not path.is_dir():
            continue
        standing = Standing.of(path)
        if standing.status == "damaged":
            print_line(f"{path / 'results.json'} is damaged; that run is not counted", style="yellow")
        identity = standing.results.get("identity")
        if isinstance(identity, str) and (identity not in found or standing.status == "completed"):
            found[identity] = path
    return found


def _tell_of_others(folder: Path, waiting: Sequence[Run]) -> None:
    """Another name, and a sweep starts anew: what is complete under a name that is near is worth a line."""
    wanted = {run.combination.identity for run in waiting if run.standing.status == "new"}
    for sweep in sorted(folder.parent.iterdir()) if wanted and folder.parent.is_dir() else []:
        if sweep.is_dir() and sweep != folder:
            complete = wanted & {
                identity for identity, path in _there(sweep).items() if Standing.of(path).status == "completed"
            }
            if complete:
                print_line(
                    f"{_counted(len(complete))} of these complete in {short(sweep.absolute())}; "
                    f"sweep={sweep.name} goes on there",
                    style="yellow",
                )


def _new(wanted: Path) -> Path:
    """A folder that nothing else is in."""
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        if not folder.exists() or (folder.is_dir() and is_free(folder)):
            break
    return folder


def _is_to_do(standing: Standing, retry_failed: bool) -> bool:
    return standing.status in ("new", "interrupted") or (standing.status == "failed" and retry_failed)


def _launch(launcher: Launcher, runs: Sequence[Run], on_error: str) -> Interrupted | None:
    """Starts them, and waits for all of them."""
    interruption = None
    try:
        if hasattr(launcher, "run"):
            launcher.run(runs, Watch(len(runs), on_error))
        else:
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


def _tell(runs: Sequence[Run], impossible: _Impossible, folder: Path) -> None:
    """The end of a sweep: every run, what became of it, and what to do next."""
    table = Table(title=str(short(folder.absolute())), title_justify="left")
    for name in ("run", "status"):
        table.add_column(name, no_wrap=True)
    for name in ("epochs", "val/acc", "test/acc", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    statuses: Counter[str] = Counter()
    for run in runs:
        standing = run.standing
        shown = status_of(standing)
        statuses[shown] += 1
        metrics = standing.results.get("metrics", {})
        seconds = [spent for spent in standing.results.get("seconds", {}).values() if spent is not None]
        table.add_row(
            Text(run.folder.name),
            Text(shown, style=STYLES.get(standing.status, "")),
            str(standing.results.get("epochs", "")),
            *(_figure(metrics.get(name)) for name in ("val/acc", "test/acc")),
            f"{sum(seconds):.1f}" if seconds else "",
            Text(reason(standing)),
        )
    print_table(table)
    _tell_impossible(impossible)
    print_line(f"{_counted(len(runs))}: {', '.join(f'{number} {status}' for status, number in statuses.items())}")
    if statuses["interrupted"] or statuses["not run"]:
        print_line("to do the rest: the same command again")
    _tell_of_failures(run.standing for run in runs)


def _tell_of_failures(standings: Iterable[Standing]) -> None:
    if any(standing.status == "failed" for standing in standings):
        print_line("to run what failed again: the same command with retry_failed=true; tracebacks are in its run.log")


def _counted(runs: int) -> str:
    return f"{runs} run{'s' * (runs != 1)}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _tell_impossible(impossible: _Impossible) -> None:
    for refusal in dict.fromkeys(map(str, impossible.refusals)):
        print_line(f"left out: {refusal}", style="yellow")


def _tell_plan(
    folder: Path, runs: Sequence[Run], waiting: Sequence[Run], impossible: _Impossible, at_once: int
) -> None:
    """What a sweep would do."""
    seconds: dict[Path, float] = {}
    if waiting:
        from cnn_experiments.sweep.estimate import estimates  # torch takes its time

        seconds = estimates(waiting, [run for run in runs if run.standing.status == "completed"])
    table = Table(title=str(short(folder.absolute())), title_justify="left")
    table.add_column("run", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("to do", justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for run in runs:
        standing = run.standing
        to_do = _duration(seconds[run.folder]) if run in waiting else "nothing"
        status = Text(status_of(standing), style=STYLES.get(standing.status, ""))
        table.add_row(Text(run.folder.name), status, to_do, Text(reason(standing)))
    print_table(table)
    _tell_impossible(impossible)
    total = _duration(sum(seconds.values()) / min(at_once, max(1, len(waiting))))
    manner = f", {at_once} at once" if at_once > 1 else ""
    to_do = f"{len(waiting)} to do{manner}: about {total}" if waiting else "nothing to do"
    print_line(f"{_counted(len(runs))}, {to_do}")
    _tell_of_failures(run.standing for run in runs if run not in waiting)


def _duration(seconds: float) -> str:
    """In two units at most: 45 s, 12 min, 3 h 20 min."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
