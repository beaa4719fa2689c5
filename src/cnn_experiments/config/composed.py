"""One configuration: composed by Hydra, in plain values, and checked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cnn_experiments.config.hydra_errors import translate
from cnn_experiments.config.hydra_internals import config_loader
from cnn_experiments.config.schema import validate
from cnn_experiments.errors import ConfigError, format_value
from cnn_experiments.runs.fingerprint import READ_ONLY_KEYS, SWEEP_KEYS, flatten, run_id
from cnn_experiments.runs.settings import split_override

_RECIPE_GROUPS = ("init", "model", "optimizer", "scheduler")
"""Groups whose settings mean something else for another option, so that a recipe's values do not fit it."""

_defaults_cache: dict[tuple[str, ...], dict[str, Any]] = {}
"""Settings by the chosen options: composing takes a tenth of a second, and the combinations of a sweep share most."""


class ComposedConfig:
    """The settings of one run."""

    def __init__(self, config: DictConfig, hydra: DictConfig | None = None) -> None:
        """Take a configuration with Hydra's own node in it, or beside it."""
        self._config = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        self.hydra = config.hydra if hydra is None else hydra

    @classmethod
    def from_overrides(cls, *overrides: str) -> "ComposedConfig":
        """Compose what a command with these overrides runs. It is not validated."""
        return cls(config_loader().load_configuration("config", list(overrides), run_mode=RunMode.RUN))

    @classmethod
    def compose(cls, sweep_config: DictConfig, overrides: Sequence[str]) -> "ComposedConfig":
        """Compose and validate a combination of a sweep.

        Raises:
            ConfigError: it can't be composed, or a setting is not allowed.
        """
        try:
            config = cls(config_loader().load_sweep_config(sweep_config, list(overrides)))
        except (HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: an option that is no string
            raise translate(error, overrides).with_context(f"in {' '.join(_without_sweep_keys(overrides))}") from error
        config.validate()
        return config

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Return all settings, resolved, in plain values.

        Raises:
            ConfigError: a setting refers to something that does not exist.
        """
        for key in READ_ONLY_KEYS:
            if "data" in self._config and OmegaConf.select(self._config, key) is None:
                problem = f"must be given in the file of data={self.choices.get('data')}; networks are built for it"
                raise ConfigError(key, problem=problem)
        try:
            settings = OmegaConf.to_container(self._config, resolve=True)
        except OmegaConfBaseException as error:
            raise translate(error, self._task_overrides) from error
        assert isinstance(settings, dict)
        return {str(key): value for key, value in settings.items()}

    @cached_property
    def run_id(self) -> str:
        """Return the hash that is equal for configurations that repeat each other."""
        return run_id(self.settings)

    @property
    def choices(self) -> dict[str, str]:
        """Return the chosen option of every group."""
        choices = self.hydra.runtime.choices.items()
        return {group: choice for group, choice in choices if choice is not None and not group.startswith("hydra/")}

    @property
    def _task_overrides(self) -> list[str]:
        """Return all overrides but those of Hydra's own settings. OmegaConf would resolve a `${...}` in them."""
        overrides = OmegaConf.to_container(self.hydra.overrides.task, resolve=False)
        assert isinstance(overrides, list)
        return overrides

    @property
    def overrides(self) -> list[str]:
        """Return the overrides of this run, unresolved; those of the sweep as a whole are left out."""
        return _without_sweep_keys(self._task_overrides)

    @property
    def overrides_by_key(self) -> dict[str, str]:
        """Return the values of all overrides but those of Hydra's own settings, by key."""
        return dict(map(split_override, self._task_overrides))

    def to_yaml(self) -> str:
        """Return all settings, resolved, as YAML."""
        return OmegaConf.to_yaml(self._config, resolve=True)

    def validate(self) -> None:
        """Check the settings against the defaults of the chosen options. Torch is not imported for this.

        Raises:
            ConfigError: a setting is not allowed.
        """
        with self.error_context():
            self._check_options()
            self._check_recipe()
            validate(self.settings, self._defaults)

    @contextmanager
    def error_context(self) -> Iterator[None]:
        """Add to an error which recipe set the value and, in a sweep, which combination it is about."""
        try:
            yield
        except ConfigError as error:
            remarks = []
            recipe = self.choices.get("experiment")
            key = error.key
            if (
                recipe
                and key not in self.overrides_by_key
                and flatten(self.settings).get(key) != flatten(self._defaults).get(key)
            ):
                remarks.append(f"set by experiment={recipe}")
            if self.hydra.mode == RunMode.MULTIRUN and key not in SWEEP_KEYS:
                remarks.append(f"in {' '.join(self.overrides)}")
            raise error.with_context(*remarks) from error

    def _check_options(self) -> None:
        """Check that no group has several options, which Hydra merges and does not list among the choices."""
        for group, value in self.overrides_by_key.items():
            if group not in self.choices and isinstance(self.settings.get(group), dict):
                raise ConfigError(group, value, problem="must be one option")

    def _check_recipe(self) -> None:
        """Check that the values of a recipe meet the options that they are made for."""
        recipe = self.choices.get("experiment")
        if recipe is None:
            return
        if "experiment" in self._config:
            raise ConfigError("experiment", recipe, problem="must begin with the line # @package _global_")
        defaults = flatten(self._defaults)
        for group in _RECIPE_GROUPS:
            if group not in self.overrides_by_key:
                continue
            set_by_recipe = [
                f"{key}={format_value(value)}"
                for key, value in flatten(self.settings).items()
                if key.startswith(f"{group}.") and key not in self.overrides_by_key and value != defaults.get(key)
            ]
            if set_by_recipe:
                problem = (
                    f"can't be combined with experiment={recipe}, "
                    f"which sets {' '.join(set_by_recipe)} for its own {group}"
                )
                raise ConfigError(group, self.overrides_by_key[group], problem=problem)

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        """Return the settings of the chosen options without any override, of the command line or of a recipe."""
        added = {split_override(override)[0] for override in self._task_overrides if override.startswith("+")}
        choices = [
            f"{'+' if group in added else ''}{group}={choice}"
            for group, choice in self.choices.items()
            if group.partition("/")[0] in self._config
        ]
        search_paths = [override for override in self.hydra.overrides.hydra if override.startswith("hydra.searchpath=")]
        key = (self.hydra.job.config_name, *choices, *search_paths)
        if key not in _defaults_cache:
            config = config_loader().load_configuration(key[0], choices + search_paths, run_mode=RunMode.RUN)
            _defaults_cache[key] = ComposedConfig(config).settings
        return _defaults_cache[key]


def _without_sweep_keys(overrides: Sequence[str]) -> list[str]:
    return [override for override in overrides if split_override(override)[0] not in SWEEP_KEYS]
