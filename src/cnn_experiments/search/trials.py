"""The trials of an Optuna study as runs, through its ask-and-tell interface.

What is drawn depends on the seed and the earlier trials alone: with one run at a time, an interrupted search continues
as it would have without the interruption.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import Trial, TrialState

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.console import print_line
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.records import read_curves
from cnn_experiments.runs.results import finite_number
from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Action, Status
from cnn_experiments.runtime.signals import signals_deferred
from cnn_experiments.search.optuna_internals import resume_trial
from cnn_experiments.search.space import Parameter
from cnn_experiments.search.study import OVERRIDES_ATTR, REASON_ATTR, monitor_of
from cnn_experiments.sweep.estimate import planned_epochs
from cnn_experiments.sweep.observer import STYLES, finalize_run, format_metrics, reason
from cnn_experiments.sweep.plan import PlannedRun, RunPaths
from cnn_experiments.tasks import preflight


def make_sampler(name: str, seed: int, trial_number: int, max_parallel: int) -> BaseSampler:
    """Return the sampler that draws a trial's settings: `tpe` or `random`."""
    trial_seed = int(np.random.SeedSequence([seed, trial_number]).generate_state(1)[0])
    if name == "random":
        return RandomSampler(seed=trial_seed)
    return TPESampler(seed=trial_seed, constant_liar=max_parallel > 1)


def make_pruner(name: str, max_epochs: int) -> BasePruner:
    """Return the pruner of trials of so many epochs: `median`, `hyperband` or `none`."""
    if name == "hyperband":
        return HyperbandPruner(max_resource=max_epochs)
    return MedianPruner() if name == "median" else NopPruner()


@dataclass
class _ActiveTrial:
    """A trial whose run has not ended."""

    trial: Trial
    run: PlannedRun
    reported_epochs: set[int] = field(default_factory=set)
    pending_prune_check: bool = False
    """Whether the search was stopped after a report and may not have asked whether to prune."""
    is_pruned: bool = False
    duplicates: list["_ActiveTrial"] = field(default_factory=list)
    """Trials with the same settings that were drawn in the meantime; they share the run."""

    @cached_property
    def max_epochs(self) -> int:
        return planned_epochs(self.run.config.settings)


class ActiveTrials:
    """The trials whose runs have not ended; tells the study their results.

    Args:
        study: the study.
        stop_on_error: whether the search ends at the first trial that fails.
    """

    def __init__(self, study: Study, stop_on_error: bool) -> None:
        self.study = study
        self.is_stopped = False
        self._stop_on_error = stop_on_error
        self._metric = monitor_of(study).key
        self._by_directory: dict[Path, _ActiveTrial] = {}

    def __iter__(self) -> Iterator[_ActiveTrial]:
        return iter(list(self._by_directory.values()))

    def __getitem__(self, run: PlannedRun) -> _ActiveTrial:
        return self._by_directory[run.directory]

    def add_or_finish(self, active: _ActiveTrial) -> bool:
        """Add a trial, or finish it if its run is completed or failed; return whether its run is to be executed."""
        run = active.run
        if run.directory in self._by_directory:
            self._by_directory[run.directory].duplicates.append(active)
            return False
        action = run.next_action()
        if action == Action.WAIT:
            print_line(f"trial {active.trial.number} is running in another process", style="yellow")
            return False
        self._by_directory[run.directory] = active
        if self.report_epochs(active) or action == Action.SKIP:
            self.finish(active, run.read_state())
            return False
        return True

    def report_epochs(self, active: _ActiveTrial) -> bool:
        """Report the epochs that the study does not know yet, and return whether the trial is pruned.

        Pruning is decided for each epoch in turn, also if several are read at once.
        """
        if active.pending_prune_check:
            active.pending_prune_check = False
            active.is_pruned = max(active.reported_epochs) < active.max_epochs and active.trial.should_prune()
        for epoch, value in _read_curve(active.run, self._metric).items():
            if not active.is_pruned and epoch not in active.reported_epochs:
                active.trial.report(value, epoch)
                active.reported_epochs.add(epoch)
                active.is_pruned = epoch < active.max_epochs and active.trial.should_prune()
        return active.is_pruned

    def finish(self, active: _ActiveTrial, state: RunState) -> None:
        """Tell the study the result of a trial, unless its run was only interrupted."""
        self._by_directory.pop(active.run.directory, None)
        for duplicate in active.duplicates:
            duplicate.is_pruned |= active.is_pruned  # its run has stopped
            duplicate.reported_epochs |= active.reported_epochs
            self.finish(duplicate, state)
        trial = active.trial
        value = finite_number(state.results.metrics.get(self._metric)) if state.results else None
        if state.status in (Status.FAILED, Status.DAMAGED):
            self.fail(trial, reason(state))
        elif active.is_pruned:
            self._prune(active, state)
        elif state.status == Status.COMPLETED and value is not None:
            self.study.tell(trial, value)
            _print_trial(trial, format_metrics(state), Status.COMPLETED)
        elif state.status == Status.COMPLETED:
            self.fail(trial, f"{self._metric} was not measured")
        elif state.status == Status.NEW:
            _print_trial(trial, "interrupted before its first step", Status.INTERRUPTED)
        else:
            _print_trial(trial, f"{state.status} {reason(state)}".strip(), Status.INTERRUPTED)

    def _prune(self, active: _ActiveTrial, state: RunState) -> None:
        epoch = max(active.reported_epochs)
        self.study.tell(active.trial, state=TrialState.PRUNED)
        _print_trial(active.trial, f"pruned after epoch {epoch}", Status.INTERRUPTED)
        if state.status == Status.INTERRUPTED and state.results is not None:
            replace(state.results, pruned_after_epoch=epoch).save(active.run.directory)

    def fail(self, trial: Trial, message: str) -> None:
        """Tell the study that a trial failed; that may end the search."""
        self.record_failure(trial, message)
        self.is_stopped |= self._stop_on_error

    def record_failure(self, trial: Trial, message: str) -> None:
        """Tell the study that a trial failed, which does not end the search."""
        trial.set_user_attr(REASON_ATTR, message)
        self.study.tell(trial, state=TrialState.FAIL)
        _print_trial(trial, f"failed: {message}", Status.FAILED)


class TrialRuns:
    """The runs of a search, one after the other as the executor asks for them.

    Args:
        active: the trials whose runs have not ended.
        space: what is drawn.
        compose: composes the configuration of a run from drawn overrides.
        directories: the directories of the runs.
        num_trials: how many the study is to have in all.
        sampler: makes the sampler of a trial from its number.
    """

    def __init__(
        self,
        active: ActiveTrials,
        space: Sequence[Parameter],
        compose: Callable[[list[str]], ComposedConfig],
        directories: RunPaths,
        num_trials: int,
        sampler: Callable[[int], BaseSampler],
    ) -> None:
        self._active = active
        self._study = active.study
        self._space = space
        self._compose = compose
        self._directories = directories
        self._num_trials = num_trials
        self._sampler = sampler

    def __iter__(self) -> Iterator[PlannedRun]:
        """Yield the runs of trials that were interrupted, then those of new trials."""
        for frozen_trial in self._study.get_trials(states=[TrialState.RUNNING]):
            if self._active.is_stopped:
                return
            trial = resume_trial(self._study, frozen_trial)
            if OVERRIDES_ATTR in frozen_trial.user_attrs:
                reported = set(frozen_trial.intermediate_values)
                yield from self._schedule(trial, frozen_trial.user_attrs[OVERRIDES_ATTR], reported)
            else:
                self._active.record_failure(trial, "the search was killed before it started")
        while not self._active.is_stopped and (number := self._count_drawn()) < self._num_trials:
            self._study.sampler = self._sampler(number)
            with signals_deferred():
                trial = self._study.ask({parameter.key: parameter.distribution for parameter in self._space})
                overrides = [parameter.to_override(trial.params[parameter.key]) for parameter in self._space]
                trial.set_user_attr(OVERRIDES_ATTR, overrides)
            yield from self._schedule(trial, overrides, reported=set())

    def _count_drawn(self) -> int:
        """Return the number of trials, without those that somebody enqueued and that are still waiting."""
        return sum(trial.state != TrialState.WAITING for trial in self._study.get_trials(deepcopy=False))

    def _schedule(self, trial: Trial, overrides: list[str], reported: set[int]) -> Iterator[PlannedRun]:
        """Yield the run of a trial, if there is something to do."""
        try:
            config = self._compose(overrides)
            run = PlannedRun(config, self._directories.path_for(config))
            preflight(config, run.directory)
        except ConfigError as error:
            self._active.fail(trial, str(error))
            return
        if self._active.add_or_finish(_ActiveTrial(trial, run, reported, pending_prune_check=bool(reported))):
            yield run


class TrialObserver:
    """Observes the runs of a search: reports their epochs, and tells the study how they end.

    Args:
        active: the trials whose runs have not ended.
        stop_on_error: whether the search ends at the first trial that fails.
        on_launch: called once when the executor starts runs.
    """

    def __init__(self, active: ActiveTrials, stop_on_error: bool, on_launch: Callable[[], None]) -> None:
        self._active = active
        self._stop_on_error = stop_on_error
        self.on_launch = on_launch

    def on_start(self, run: PlannedRun) -> None:
        """Print a line."""
        print_line(f"{self._number(run)} {run.directory.name}", style="bold")

    def on_skip(self, run: PlannedRun) -> None:
        """Print a line, and finish the trial with what another process did."""
        self.on_start(run)
        state = run.read_state()
        print_line(f"{self._number(run)} {run.directory.name} {state.status} by another process; skipped", "yellow")
        self._active.finish(self._active[run], state)

    def on_end(
        self,
        run: PlannedRun,
        status: Status,
        *,
        error: str | None = None,
        signal: str | None = None,
        is_rejected: bool = False,
    ) -> bool:
        """Record the end if the run has not, and finish the trial and those that share its run."""
        state = finalize_run(run, status, error=error, signal=signal)  # first: it does not need the study
        active = self._active[run]
        for trial in (active, *active.duplicates):
            if not trial.is_pruned:
                self._active.report_epochs(trial)
        self._active.finish(active, state)
        return not (self._stop_on_error and state.status == Status.FAILED)

    def runs_to_stop(self) -> Iterable[PlannedRun]:
        """Report new epochs, and return the runs of trials that are pruned because of them."""
        return [active.run for active in self._active if not active.is_pruned and self._active.report_epochs(active)]

    def _number(self, run: PlannedRun) -> str:
        return f"trial {self._active[run].trial.number}:"


def _print_trial(trial: Trial, message: str, status: Status) -> None:
    print_line(f"trial {trial.number}: {message}", style=STYLES[status])


def _read_curve(run: PlannedRun, metric: str) -> dict[int, float]:
    """Return a metric by epoch, from 1; empty if metrics.csv can't be read, and the run continues."""
    curve = read_curves(run.directory, [metric]).get(metric, {})
    return {} if isinstance(curve, str) else curve
