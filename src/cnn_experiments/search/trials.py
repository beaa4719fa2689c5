"""The trials of an Optuna study as runs: Optuna is asked for settings, and told what came of them.

What is drawn depends on the seed and the trials before alone: where one run goes at a time, a search that was
interrupted goes on as it would have.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import Trial, TrialState

from cnn_experiments.config.composed import Combination
from cnn_experiments.console import print_line
from cnn_experiments.errors import Refusal
from cnn_experiments.runs.directory import Standing, pruned, write_results
from cnn_experiments.runs.records import Run as Written
from cnn_experiments.runs.records import number
from cnn_experiments.runtime.signals import signals_deferred
from cnn_experiments.search.space import Parameter
from cnn_experiments.sweep.monitor import STYLES, Watch, figures, reason
from cnn_experiments.sweep.plan import Places
from cnn_experiments.sweep.run import Run
from cnn_experiments.sweep.settle import settle

METRIC = "val/acc"
"""What is searched for the highest of."""
OVERRIDES, REASON = "overrides", "reason"
"""What the study holds of a trial besides: what its run was told, and why it failed."""


def sampler_of(name: str, seed: int, trial: int, at_once: int) -> BaseSampler:
    """The one that draws a trial's settings."""
    own = int(np.random.SeedSequence([seed, trial]).generate_state(1)[0])
    return RandomSampler(seed=own) if name == "random" else TPESampler(seed=own, constant_liar=at_once > 1)


def pruner_of(name: str, epochs: int) -> BasePruner:
    """The one that gives up trials of so many epochs."""
    return {"median": MedianPruner, "none": NopPruner}.get(name, lambda: HyperbandPruner(max_resource=epochs))()


@dataclass
class _Trial:
    """A trial under way."""

    trial: Trial
    run: Run
    reported: set[int] = field(default_factory=set)
    """Epochs that the study knows."""
    undecided: bool = False
    """Whether the search was stopped behind a report and may not have asked what follows from it."""
    pruned: bool = False
    twins: list["_Trial"] = field(default_factory=list)
    """Trials of the same run that were drawn meanwhile."""


class Trials(Watch):
    """Makes runs of trials, one after the other as they are asked for, and watches them.

    Args:
        study: goes on where it stands.
        space: what is drawn.
        combination: composes a run from what was drawn.
        places: where the runs are.
        wanted: how many trials the study is to have in all.
        sampler: for the trial of a number.
        on_error: stop ends the search at the first trial that fails.
    """

    def __init__(
        self,
        study: Study,
        space: Sequence[Parameter],
        combination: Callable[[list[str]], Combination],
        places: Places,
        wanted: int,
        sampler: Callable[[int], BaseSampler],
        on_error: str,
    ) -> None:
        super().__init__(wanted, on_error)
        self._study = study
        self._space = space
        self._combination = combination
        self._places = places
        self._sampler = sampler
        self._under_way: dict[Path, _Trial] = {}
        self._stopped = False

    def __iter__(self) -> Iterator[Run]:
        """The runs to do: those of trials that were interrupted, then those of new ones."""
        for frozen in self._study.get_trials(states=[TrialState.RUNNING]):
            if self._stopped:
                return
            trial = Trial(self._study, frozen._trial_id)  # Optuna has no other way to take a trial up again
            if OVERRIDES in frozen.user_attrs:
                yield from self._begun(trial, frozen.user_attrs[OVERRIDES], set(frozen.intermediate_values))
            else:
                self._tell_failure(trial, "the search was killed before it began")
        while not self._stopped and (number := self._drawn()) < self._runs:
            self._study.sampler = self._sampler(number)
            with signals_deferred():
                trial = self._study.ask({each.key: each.distribution for each in self._space})
                overrides = [each.typed(trial.params[each.key]) for each in self._space]
                trial.set_user_attr(OVERRIDES, overrides)
            yield from self._begun(trial, overrides, set())

    def _drawn(self) -> int:
        """How many trials there are, without those that somebody put in line."""
        return sum(trial.state != TrialState.WAITING for trial in self._study.get_trials(deepcopy=False))

    def _begun(self, trial: Trial, overrides: list[str], reported: set[int]) -> Iterator[Run]:
        """Its run, if there is something to do."""
        try:
            combination = self._combination(overrides)
            combination.check_parts()
        except Refusal as refusal:
            self._fail(trial, str(refusal))
            return
        run = Run(combination, self._places.of(combination))
        each = _Trial(trial, run, reported, undecided=bool(reported))
        if run.folder in self._under_way:
            self._under_way[run.folder].twins.append(each)
            return
        standing = run.standing
        if standing.status == "running":
            print_line(f"trial {trial.number} goes on in another process", style="yellow")
            return
        self._under_way[run.folder] = each
        if self._is_to_prune(each) or standing.status in ("completed", "failed"):
            self._settled(each, standing)
        else:
            yield run

    def unwanted(self) -> Iterable[Run]:
        """Those that are to stop. Each epoch's accuracy is reported here."""
        return [each.run for each in self._under_way.values() if not each.pruned and self._is_to_prune(each)]

    def ended(self, run: Run, status: str, error: str) -> bool:
        each = self._under_way[run.folder]
        for one in (each, *each.twins):
            if not one.pruned:
                self._is_to_prune(one)
        self._settled(each, settle(run, status, error))
        return self._goes_on(run.standing)

    def skipped(self, run: Run) -> None:
        super().skipped(run)
        self._settled(self._under_way[run.folder], run.standing)

    def _is_to_prune(self, each: _Trial) -> bool:
        """Reports the epochs that the study does not know. Decided for each in its turn, however late that is."""
        epochs = each.run.combination.settings["trainer"]["max_epochs"]
        if each.undecided:
            each.undecided = False
            each.pruned = max(each.reported) < epochs and each.trial.should_prune()
        for epoch, accuracy in _curve(each.run).items():
            if not each.pruned and epoch not in each.reported:
                each.trial.report(accuracy, epoch)
                each.reported.add(epoch)
                each.pruned = epoch < epochs and each.trial.should_prune()
        return each.pruned

    def _settled(self, each: _Trial, standing: Standing) -> None:
        """Tells the study, unless the trial is to go on another time."""
        self._under_way.pop(each.run.folder, None)
        for twin in each.twins:
            twin.pruned |= each.pruned  # whose run has stopped
            self._settled(twin, standing)
        metric = number((standing.results.get("metrics") or {}).get(METRIC))
        if standing.status == "failed":
            self._fail(each.trial, reason(standing))
        elif each.pruned:
            self._study.tell(each.trial, state=TrialState.PRUNED)
            self._say(each.trial, f"pruned after epoch {max(each.reported)}", "interrupted")
            if standing.status == "interrupted":
                write_results(each.run.folder, pruned(standing.results, max(each.reported)))
        elif standing.status == "completed" and metric is not None:
            self._study.tell(each.trial, metric)
            self._say(each.trial, figures(standing), "completed")
        elif standing.status == "completed":
            self._fail(each.trial, f"{METRIC} was not measured")
        else:
            began = "interrupted before its first step" if standing.status == "new" else standing.status
            self._say(each.trial, f"{began} {reason(standing)}".strip(), "interrupted")

    def _fail(self, trial: Trial, why: str) -> None:
        self._tell_failure(trial, why)
        self._stopped |= self._on_error == "stop"

    def _tell_failure(self, trial: Trial, why: str) -> None:
        trial.set_user_attr(REASON, why)
        self._study.tell(trial, state=TrialState.FAIL)
        self._say(trial, f"failed: {why}", "failed")

    def _say(self, trial: Trial, what: str, status: str) -> None:
        print_line(f"trial {trial.number}: {what}", style=STYLES[status])

    def _place(self, run: Run) -> str:
        return f"trial {self._under_way[run.folder].trial.number}:"


def _curve(run: Run) -> dict[int, float]:
    """The accuracy of each epoch from 1 on; of a file that can't be read nothing, and the run goes on."""
    try:
        return dict(enumerate(Written(run.folder, {}).curve(METRIC), start=1))
    except ValueError:
        return {}
