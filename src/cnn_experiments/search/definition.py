"""What a search varies and what it fixes, and the checks of both before its first trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.overrides import parse_overrides
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.fingerprint import SEED_KEYS
from cnn_experiments.search.space import Parameter, to_parameter
from cnn_experiments.sweep.estimate import planned_epochs
from cnn_experiments.sweep.plan import default_name
from cnn_experiments.tasks import preflight, task_of

_MONITOR_KEYS = ("monitor", "monitor_mode")
_MAX_EPOCHS_KEY = "trainer.max_epochs"
_INTEGER_REMEDY = "for integers, write int(interval(...))"


@dataclass(frozen=True)
class Definition:
    """What is searched, and what is fixed."""

    config: DictConfig
    """The search's own configuration, as Hydra composed it."""
    space: Sequence[Parameter]
    fixed: Sequence[str]
    """Overrides with one value."""

    @classmethod
    def parse(cls, config: DictConfig, arguments: Sequence[str]) -> "Definition":
        """Parse the overrides of a search: those with several values are searched.

        Raises:
            ConfigError: an override has no range that can be searched.
        """
        overrides = {override.key_or_group: override for override in parse_overrides(arguments)}
        space = [to_parameter(override) for override in overrides.values() if override.is_sweep_override()]
        fixed = [str(override.input_line) for override in overrides.values() if not override.is_sweep_override()]
        return cls(config, space, fixed)

    @property
    def searched(self) -> dict[str, list[Any]]:
        """Return the settings that are searched, with some of their values."""
        return {parameter.key: parameter.values for parameter in self.space}

    def compose(self, drawn: Sequence[str]) -> ComposedConfig:
        """Compose the configuration of a run from drawn overrides.

        Raises:
            ConfigError: it is not valid.
        """
        return ComposedConfig.compose(self.config, [*self.fixed, *drawn])

    def max_epochs(self, settings: Mapping[str, Any]) -> int:
        """Return the largest number of epochs that a trial can have."""
        searched = [value for parameter in self.space if parameter.key == _MAX_EPOCHS_KEY for value in parameter.values]
        max_epochs = max(map(int, [settings["trainer"]["max_epochs"], *searched]))
        return planned_epochs({**settings, "trainer": settings["trainer"] | {"max_epochs": max_epochs}})

    def check(self) -> ComposedConfig:
        """Check some values of every parameter, each with the first values of the others.

        Returns:
            The configuration with all the first values.
        """
        if not self.space:
            example = "'optimizer.lr=tag(log,interval(1e-4,1))'"
            raise ConfigError("hydra/sweeper", "optuna", problem=f"needs a setting to search, such as {example}")
        for parameter in self.space:
            if parameter.key in SEED_KEYS:
                problem = "must be one value in a search; more seeds are for the best settings"
                raise ConfigError(str(parameter.override.input_line), problem=problem)
            if parameter.key in _MONITOR_KEYS:
                problem = "must be one value in a search, which compares trials by it"
                raise ConfigError(str(parameter.override.input_line), problem=problem)
        first = [parameter.to_override(parameter.probe_values[0]) for parameter in self.space]
        base = self.compose(first)
        _check_settings(base)
        configs = [base]
        for place, parameter in enumerate(self.space):
            configs += [self._compose_probe(first, place, value) for value in parameter.probe_values[1:]]
        for config in configs:
            try:
                preflight(config)
            except ConfigError as error:
                if base.settings["on_invalid"] == "error":
                    raise error.with_context(remedy="on_invalid=skip counts such trials as failed") from error
        return base

    def _compose_probe(self, first: Sequence[str], place: int, value: Any) -> ComposedConfig:
        """Compose the first values of all parameters but one, whose place and value are given."""

        def compose(value: Any) -> ComposedConfig:
            return self.compose([*first[:place], self.space[place].to_override(value), *first[place + 1 :]])

        try:
            return compose(value)
        except ConfigError as error:
            try:
                if not isinstance(value, float):
                    raise
                compose(round(value))
            except ConfigError:
                raise error from None
            raise error.with_context(remedy=_INTEGER_REMEDY) from error


def _check_settings(config: ComposedConfig) -> None:
    settings = config.settings
    if not task_of(config).needs_run_directory:
        raise ConfigError("task", config.task, problem="must be train in a search")
    if settings["data"].get("val_size") == 0:
        raise ConfigError(
            "data.val_size", 0, problem=f"must be >= 1 in a search, which compares trials by {settings['monitor']}"
        )
    if settings["retry_failed"]:
        problem = "must be false in a search, which counts failed trials"
        raise ConfigError("retry_failed", settings["retry_failed"], problem=problem)


def default_search_name(config: DictConfig) -> str:
    """Return a name made of that of a ready-made search and of the keys typed."""
    _, _, ready_made = config.hydra.runtime.choices["hydra/sweeper"].partition("/")
    typed = parse_overrides(config.hydra.overrides.task)
    words = ["search", *([ready_made] if ready_made else []), *([default_name(typed)] if typed else [])]
    return "-".join(words).replace("/", "-")
