"""How Hydra sees sweeps: a sweeper that says what to run, and launchers that say where.

Hydra imports this at every start.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from cnn_experiments.config.schema import NULL, TEXT, one_of, text, whole, with_nearest
from cnn_experiments.errors import Refusal

if TYPE_CHECKING:
    from cnn_experiments.sweep.monitor import Watch
    from cnn_experiments.sweep.run import Run


_RULES = {
    "jobs": whole(1),
    "partition": TEXT | NULL,
    "timeout_min": whole(1),
    "max_num_timeout": whole(0),
    "array_parallelism": whole(1),
    "cpus_per_task": whole(1),
    "gpus_per_node": whole(0) | NULL,
    "mem_gb": whole(1) | NULL,
    "n_trials": whole(1),
    "sampler": one_of("tpe", "random"),
    "pruner": one_of("median", "hyperband", "none"),
    "seed": whole(0),
}


def _check(**parameters: Any) -> None:
    for key, value in parameters.items():
        if key in _RULES and not _RULES[key].accepts(value):
            raise ValueError(with_nearest(f"{key}={text(value)}: must be {_RULES[key].allowed}"))


class _OwnSweeper(Sweeper):
    """Takes settings from its file and from the command line."""

    def __init__(self, params: DictConfig) -> None:
        self._params = params

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def _given(self, arguments: list[str]) -> list[str]:
        """What was typed comes last, and counts."""
        params = OmegaConf.to_container(self._params, resolve=True)
        assert isinstance(params, dict)
        return [*(f"{key!s}={text(values)}" for key, values in params.items()), *arguments]


class GridSweeper(_OwnSweeper):
    """Every combination of the values given; what is done already is not done again."""

    def sweep(self, arguments: list[str]) -> None:
        """Ends the program with status 1 where not every run is complete."""
        from cnn_experiments.sweep.grid import sweep

        assert self.config is not None
        assert self.launcher is not None
        sweep(self.config, self._given(arguments), self.launcher)


class OptunaSweeper(_OwnSweeper):
    """Settings that Optuna draws, by what came of those before."""

    def __init__(self, params: DictConfig, n_trials: int, sampler: str, pruner: str, seed: int) -> None:
        super().__init__(params)
        _check(n_trials=n_trials, sampler=sampler, pruner=pruner, seed=seed)
        self._search: dict[str, Any] = {"trials": n_trials, "sampler": sampler, "pruner": pruner, "seed": seed}

    def sweep(self, arguments: list[str]) -> None:
        """Ends the program with status 1 where no trial is complete, or fewer have ended than were asked for."""
        try:
            from cnn_experiments.search.search import search
        except ModuleNotFoundError as error:
            if error.name != "optuna":
                raise
            raise Refusal('hydra/sweeper=optuna: needs Optuna; pip install "cnn_experiments[optuna]"') from None

        assert self.config is not None
        if not isinstance(self.launcher, LocalLauncher):
            choice = self.config.hydra.runtime.choices["hydra/launcher"]
            raise Refusal(f"hydra/launcher={choice}: must be local for a search")
        if status := search(self.config, self._given(arguments), self.launcher, **self._search):
            sys.exit(status)


class _OwnLauncher(Launcher):
    """Starts runs as commands, and tells a watch of each."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """What Hydra's own sweepers would call, which the gate keeps out."""
        raise NotImplementedError


class LocalLauncher(_OwnLauncher):
    """Processes on this machine, `jobs` of them at once."""

    def __init__(self, jobs: int) -> None:
        from cnn_experiments.sweep.executors.local import Pool

        _check(jobs=jobs)
        self.at_once = jobs
        self._pool = Pool(jobs)

    def warm_up(self) -> None:
        """Begins to import what runs need, in the background."""
        self._pool.warm_up()

    def run(self, runs: Iterable["Run"], watch: "Watch") -> None:
        """Starts them, and waits for all of them."""
        self._pool.run(runs, watch)


class SlurmLauncher(_OwnLauncher):
    """An array of Slurm jobs, submitted and then watched until all have ended."""

    def __init__(self, **parameters: Any) -> None:
        _check(**parameters)
        self.at_once = parameters["array_parallelism"]
        self._parameters = parameters

    def run(self, runs: Sequence["Run"], watch: "Watch") -> None:
        """Submits them, and waits for all of them."""
        from cnn_experiments.sweep.executors.slurm import Array

        assert self.config is not None
        Array(Path(self.config.hydra.sweep.dir) / ".submitit", self._parameters).run(runs, watch)
