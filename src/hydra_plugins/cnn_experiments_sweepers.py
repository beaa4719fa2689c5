"""Hydra's view of sweeps: two sweepers, in which the parts of a sweep are put together.

Hydra imports this module at every start.
"""

from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, read_write

from cnn_experiments.config.rules import check_all, integer, one_of
from cnn_experiments.errors import ConfigError, IncompleteSweepError, format_value

if TYPE_CHECKING:
    from cnn_experiments.sweep.executors.base import Executor

_SEARCH_RULES = {
    "n_trials": integer(1, 100_000),
    "sampler": one_of("tpe", "random"),
    "pruner": one_of("median", "hyperband", "none"),
    "seed": integer(0, 2**32 - 1),
}


class _Sweeper(Sweeper):
    """Takes overrides from the sweeper's own settings and from the command line."""

    def __init__(self, params: DictConfig) -> None:
        self._params = params

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self._hydra_context = hydra_context
        self._task_function = task_function

    def _build_executor(self) -> "Executor":
        """Return what runs are started with: one of this package's executors, or one of Hydra's launchers in one."""
        from cnn_experiments.config.instantiate import attribute_errors_to, instantiate

        assert self.config is not None
        settings = self.config.hydra.launcher
        if settings._target_.startswith("cnn_experiments."):
            resolved = OmegaConf.to_container(settings, resolve=True)
            assert isinstance(resolved, dict)
            launcher_settings = {str(key): value for key, value in resolved.items()}
            with attribute_errors_to("hydra.launcher", launcher_settings):
                executor: Executor = instantiate("hydra.launcher", launcher_settings, object)
            return executor
        from cnn_experiments.sweep.executors.hydra_launcher import HydraLauncherExecutor

        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self._hydra_context, task_function=self._task_function, config=self.config
        )
        return HydraLauncherExecutor(launcher)

    def _with_params(self, arguments: list[str]) -> list[str]:
        """Return the overrides of the settings and those typed, which come last and count."""
        params = OmegaConf.to_container(self._params, resolve=True) if isinstance(self._params, DictConfig) else None
        if not isinstance(params, dict):
            raise ConfigError("hydra.sweeper.params", self._params, problem="must be a dictionary of overrides")
        return [*(f"{key!s}={format_value(values)}" for key, values in params.items()), *arguments]


class GridSweeper(_Sweeper):
    """Runs every combination of the values given; completed runs are not repeated."""

    def sweep(self, arguments: list[str]) -> None:
        """Run what is missing.

        Raises:
            IncompleteSweepError: not every run is completed.
        """
        from cnn_experiments.report.leaderboard.show import report_leaderboard
        from cnn_experiments.sweep.grid import sweep

        assert self.config is not None
        _check_status(sweep(self.config, self._with_params(arguments), self._build_executor(), report_leaderboard))


class OptunaSweeper(_Sweeper):
    """Runs trials whose settings Optuna draws, given the results of the earlier ones."""

    def __init__(self, params: DictConfig, n_trials: int, sampler: str, pruner: str, seed: int) -> None:
        super().__init__(params)
        self._search: dict[str, Any] = {"n_trials": n_trials, "sampler": sampler, "pruner": pruner, "seed": seed}
        check_all(_SEARCH_RULES, "hydra.sweeper", self._search)

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials that are missing.

        Raises:
            IncompleteSweepError: no trial is completed, or fewer have ended than were asked for.
        """
        try:
            from cnn_experiments.search.search import search
        except ModuleNotFoundError as error:
            if error.name != "optuna":
                raise
            problem = 'needs Optuna; pip install "cnn_experiments[optuna]"'
            raise ConfigError("hydra/sweeper", "optuna", problem=problem) from None
        from cnn_experiments.report.leaderboard.show import report_leaderboard

        assert self.config is not None
        if (launcher := self.config.hydra.launcher).get("jobs") == "auto":
            with read_write(self.config.hydra):
                launcher.jobs = 1  # each trial is drawn from the results of all before it
        executor = self._build_executor()
        if not executor.supports_pruning:
            choice = self.config.hydra.runtime.choices["hydra/launcher"]
            raise ConfigError("hydra/launcher", choice, problem="must be local for a search")
        _check_status(search(self.config, self._with_params(arguments), executor, report_leaderboard, **self._search))


def _check_status(status: int) -> None:
    """Pass an exit status on to the entry point: Hydra's sweepers return nothing that reaches it."""
    if status:
        raise IncompleteSweepError(status)
