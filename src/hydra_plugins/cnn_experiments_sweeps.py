"""How Hydra sees sweeps: a sweeper that says what to run, and launchers that say where.

Hydra imports this at every start.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

if TYPE_CHECKING:
    from cnn_experiments.sweep.watch import Task, Watch


class GridSweeper(Sweeper):
    """Every combination of the values given; what is done already is not done again."""

    def __init__(self, params: DictConfig) -> None:
        self._params = params

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Ends the program with a status: 0 where every run is complete."""
        from cnn_experiments.sweep.grid import sweep

        assert self.config is not None
        assert self.launcher is not None
        params = OmegaConf.to_container(self._params, resolve=True)
        assert isinstance(params, dict)
        given = [f"{key!s}={values}" for key, values in params.items()]
        sweep(self.config, [*given, *arguments], self.launcher)


class _OwnLauncher(Launcher):
    """Runs are commands, and their folders tell what became of them."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self._loader = hydra_context.config_loader

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from cnn_experiments.sweep.watch import Task, Watch

        assert self.config is not None
        setup_globals()
        tasks = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            config = self._loader.load_sweep_config(self.config, list(overrides))
            with open_dict(config):
                config.hydra.job.id = config.hydra.job.num = number
            tasks.append(Task.of(config))
        self._run(tasks, Watch(len(tasks), self.config.on_error))
        return [_job_return(task) for task in tasks]

    def _run(self, tasks: Sequence["Task"], watch: "Watch") -> None:
        raise NotImplementedError


class LocalLauncher(_OwnLauncher):
    """Processes on this machine, `jobs` of them at once."""

    def __init__(self, jobs: int) -> None:
        from cnn_experiments.sweep.pool import Pool

        if not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1:
            raise ValueError(f"jobs={jobs}: must be a whole number of 1 or more")
        self._pool = Pool(jobs)

    def warm_up(self) -> None:
        """Begins to import what runs need, in the background."""
        self._pool.warm_up()

    def _run(self, tasks: Sequence["Task"], watch: "Watch") -> None:
        self._pool.run(tasks, watch)


class SlurmLauncher(_OwnLauncher):
    """An array of Slurm jobs, submitted and then watched until all have ended."""

    def __init__(self, **parameters: Any) -> None:
        self._parameters = parameters

    def _run(self, tasks: Sequence["Task"], watch: "Watch") -> None:
        from cnn_experiments.sweep.slurm import Array

        assert self.config is not None
        Array(Path(self.config.hydra.sweep.dir) / ".submitit", self._parameters).run(tasks, watch)


def _job_return(task: "Task") -> JobReturn:
    from cnn_experiments.run_folder import Standing

    returned = JobReturn()
    standing = Standing.of(task.folder)
    done = standing.status == "completed"
    returned.overrides = task.combination.overrides
    returned.status = JobStatus.COMPLETED if done else JobStatus.FAILED
    returned.return_value = None if done else RuntimeError(f"{task.folder}: {standing.status}")
    return returned
