"""A search by Optuna: its space, its study in a file, and what it found."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from omegaconf import DictConfig
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table
from rich.text import Text
from sqlalchemy import URL
from sqlalchemy.exc import DatabaseError

from cnn_experiments.config.command_line import flags
from cnn_experiments.config.composed import Combination
from cnn_experiments.config.schema import OF_A_SWEEP
from cnn_experiments.console import print_line, print_table
from cnn_experiments.errors import Refusal
from cnn_experiments.report.leaderboard.show import report_leaderboard
from cnn_experiments.runs.directory import hold, release, short
from cnn_experiments.runs.fingerprint import SEEDS
from cnn_experiments.runs.settings import short_names
from cnn_experiments.runtime.signals import Interrupted
from cnn_experiments.search.space import Parameter, parameter
from cnn_experiments.search.trials import METRIC, OVERRIDES, REASON, Trials, pruner_of, sampler_of
from cnn_experiments.sweep.hparams_table import write_columns
from cnn_experiments.sweep.monitor import STYLES
from cnn_experiments.sweep.plan import Places, checked, default_name, parsed, sweep_folder

if TYPE_CHECKING:
    from hydra_plugins.cnn_experiments_sweepers import LocalLauncher

_FILE = "study.db"
_EPOCHS = "trainer.max_epochs"
_FIXED, _SPACE = "fixed", "space"
"""What the study holds of the search: overrides with one value, and those with several."""
_WORDS = {
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",
    TrialState.WAITING: "in line",
}


def search(
    config: DictConfig,
    arguments: Sequence[str],
    launcher: "LocalLauncher",
    trials: int,
    sampler: str,
    pruner: str,
    seed: int,
) -> int:
    """Goes on with a search until its study has so many trials, and prints the best settings.

    Args:
        config: the search's own configuration, as Hydra composed it.
        arguments: overrides; those with several values are searched.
        launcher: what runs are started with.
        trials: in all, those of earlier commands, pruned and failed ones included.
        sampler: tpe or random.
        pruner: median, hyperband or none.
        seed: of the sampler.

    Returns:
        The exit status: 1 where no trial is complete, or the study has fewer than it should.

    Raises:
        Refusal: this can't be searched, or the study there is of another search.
        Interrupted: a signal came.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    overrides = {override.key_or_group: override for override in parsed(arguments)}
    space = [parameter(override) for override in overrides.values() if override.is_sweep_override()]
    fixed = [str(override.input_line) for override in overrides.values() if not override.is_sweep_override()]
    base = _check(config, space, fixed)
    settings = base.settings

    folder = sweep_folder(config, settings["sweep"] or _default_name(config))
    if settings["dry_run"] and not (folder / _FILE).exists():
        print_line(f"{short(folder.absolute())}: no trial yet, {trials} to do")
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    if not settings["dry_run"] and not hold(folder):
        raise Refusal(f"{short(folder.absolute())}: another search is at work there; sweep=NAME begins another")
    study = _study(folder / _FILE, space, fixed)
    if settings["dry_run"]:
        _tell(folder, study, space, trials)
        return 0
    epochs = [settings["trainer"]["max_epochs"], *(n for each in space if each.key == _EPOCHS for n in each.samples)]
    study.pruner = pruner_of(pruner, max(map(int, epochs)))
    print_line(f"{short(folder.absolute())}: {len(study.get_trials(deepcopy=False))} trials, {trials} wanted")
    searched = {each.key: each.values for each in space}
    write_columns(folder, [], searched)
    runs = Trials(
        study,
        space,
        combination=lambda drawn: checked(config, [*fixed, *drawn]),
        places=Places(folder, [each.key for each in space]),
        wanted=trials,
        sampler=lambda number: sampler_of(sampler, seed, number, launcher.at_once),
        on_error=settings["on_error"],
    )
    try:
        launcher.run(runs, runs)
    except Interrupted:
        _tell(folder, study, space, trials)
        raise
    finally:
        write_columns(folder, [], searched)
        release(folder)
    _tell(folder, study, space, trials)
    _tell_best(study)
    if any(folder.glob("*/results.json")):
        report_leaderboard([folder], output_dir=folder, quiet=True)
    complete = study.get_trials(states=[TrialState.COMPLETE])
    ended = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    return 0 if complete and len(ended) >= trials else 1


def _check(config: DictConfig, space: Sequence[Parameter], fixed: Sequence[str]) -> Combination:
    """Tries samples of every setting, each with the first of the others.

    Returns:
        The combination of all the first.
    """
    if not space:
        raise Refusal(
            "hydra/sweeper=optuna: needs a setting to search, such as 'optimizer.lr=tag(log,interval(1e-4,1))'"
        )
    for each in space:
        if each.key in SEEDS:
            raise Refusal(
                f"{each.override.input_line}: must be one value in a search; more seeds are for the best settings"
            )
    first = [each.typed(each.samples[0]) for each in space]
    base = checked(config, [*fixed, *first])
    settings = base.settings
    if not settings["task"].get("folder"):
        raise Refusal(f"task={base.options['task']}: must be train in a search")
    if settings["data"].get("val_size") == 0:
        raise Refusal(f"data.val_size=0: must be 1 or more in a search, which goes by {METRIC}")
    if settings["retry_failed"]:
        raise Refusal("retry_failed=true: must be false in a search, which counts the trials that failed")
    tried = [
        _tried(config, [*fixed, *first[:place], each.typed(sample), *first[place + 1 :]], each)
        for place, each in enumerate(space)
        for sample in each.samples[1:]
    ]
    for combination in [base, *tried]:
        try:
            combination.check_parts()
        except Refusal as refusal:
            if settings["on_impossible"] == "refuse":
                raise Refusal(f"{refusal}; on_impossible=drop counts such trials as failed") from refusal
    return base


def _tried(config: DictConfig, overrides: Sequence[str], varied: Parameter) -> Combination:
    try:
        return checked(config, overrides)
    except Refusal as refusal:
        whole = "; of whole numbers it is int(interval(...))" if "must be a whole number" in str(refusal) else ""
        raise Refusal(f"{refusal}{whole if varied.is_of_floats else ''}") from refusal


def _default_name(config: DictConfig) -> str:
    """That of a ready-made search is in it, and the keys typed."""
    _, _, search = config.hydra.runtime.choices["hydra/sweeper"].partition("/")
    typed = parsed(config.hydra.overrides.task)
    words = ["search", *([search] if search else []), *([default_name(typed)] if typed else [])]
    return "-".join(words).replace("/", "-")


def _study(file: Path, space: Iterable[Parameter], fixed: Iterable[str]) -> Study:
    """The study in a file, a new one where there is none.

    Raises:
        Refusal: it is that of another search.
    """
    url = URL.create("sqlite", database=str(file.absolute())).render_as_string()
    try:
        study = optuna.create_study(
            storage=optuna.storages.RDBStorage(url), study_name="search", direction="maximize", load_if_exists=True
        )
    except DatabaseError as error:
        raise Refusal(f"{file}: can't be used as a study ({error.orig})") from error
    told = {
        _SPACE: sorted(str(each.override.input_line) for each in space),
        _FIXED: sorted(line for line in fixed if line.lstrip("+").partition("=")[0] not in OF_A_SWEEP),
    }
    for name, lines in told.items():
        there = study.user_attrs.get(name, lines)
        if there != lines:
            now, before = (" ".join(sorted(set(one) - set(other))) for one, other in ((lines, there), (there, lines)))
            place = short(file.parent.absolute())
            raise Refusal(
                f"{now or before}: must be {before if now else 'given'}{'' if before else 'left out'} "
                f"as in the search in {place}; sweep=NAME begins another"
            )
        study.set_user_attr(name, lines)
    return study


def _tell(folder: Path, study: Study, space: Sequence[Parameter], wanted: int) -> None:
    """Every trial, and what is to do."""
    table = Table(title=str(short(folder.absolute())), title_justify="left")
    names = short_names([each.key for each in space])
    for name in ("trial", METRIC, "epochs"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for name in names.values():
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    trials = study.get_trials(deepcopy=False)
    best = found.number if (found := _best(study)) else None
    for trial in trials:
        status = _WORDS[trial.state]
        drawn = {
            each.partition("=")[0].lstrip("+"): each.partition("=")[2] for each in trial.user_attrs.get(OVERRIDES, [])
        }
        reached = max(trial.intermediate_values.values(), default=None)
        figure = trial.value if trial.state == TrialState.COMPLETE else reached
        table.add_row(
            f"{trial.number}{' best' if trial.number == best else ''}",
            "" if figure is None else f"{figure:.4f}",
            str(len(trial.intermediate_values) or ""),
            Text(status, style=STYLES.get(status, STYLES["interrupted"])),
            *(Text(drawn.get(key, "")) for key in names),
            Text(str(trial.user_attrs.get(REASON, ""))),
            style="bold" if trial.number == best else None,
        )
    print_table(table)
    states = [_WORDS[trial.state] for trial in trials]
    told = ", ".join(f"{states.count(word)} {word}" for word in dict.fromkeys(_WORDS.values()) if word in states)
    print_line(f"{len(trials)} of {max(wanted, len(trials))} trials: {told or 'nothing done'}")
    if len(trials) < wanted or "interrupted" in states:
        print_line("to do the rest: the same command again")


def _best(study: Study) -> FrozenTrial | None:
    complete = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    return max(complete, key=lambda trial: trial.value or 0.0, default=None)


def _tell_best(study: Study) -> None:
    """The best settings as commands."""
    if (best := _best(study)) is None:
        print_line("no trial is complete", style="yellow")
        return
    overrides = [*study.user_attrs[_FIXED], *best.user_attrs[OVERRIDES]]
    command = ["python", "-m", "cnn_experiments", *flags()]
    print_line(f"best: trial {best.number}, {METRIC} {best.value:.4f}", style="bold")
    print_line(shlex.join([*command, *overrides]))
    print_line("with more seeds, because the best of many is lucky too:")
    seeds = [override for override in overrides if override.partition("=")[0] != "seed"]
    print_line(shlex.join([*command, "-m", *seeds, "seed=1,2,3,4,5"]))
