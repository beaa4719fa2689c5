"""One configuration: composed by Hydra, in plain values, and checked."""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cnn_experiments.config.composition import (
    PART_GROUPS,
    RECIPE,
    Composition,
    apply_overrides,
    check_keys,
    choices_of,
    compose_options,
)
from cnn_experiments.config.data_facts import expected_source, is_fact
from cnn_experiments.config.hydra_errors import translate
from cnn_experiments.config.hydra_internals import config_directories, config_loader
from cnn_experiments.config.image_source import ROOT_KEY
from cnn_experiments.config.interpolation import resolve
from cnn_experiments.config.overrides import parse_override, quote_override, values_by_key, without_sweep_keys
from cnn_experiments.config.rules import MISSING
from cnn_experiments.config.schema import validate
from cnn_experiments.config.sources import begins_with_byte_order_mark
from cnn_experiments.errors import ConfigError, format_value
from cnn_experiments.runs.fingerprint import (
    DATA_SHAPE_KEYS,
    PATH_KEYS,
    READ_ONLY_KEYS,
    SWEEP_KEYS,
    effective_settings,
    flatten,
    normalize_value,
    run_id,
)

_TASK = "task"


class ComposedConfig:
    """The settings of one run."""

    hydra_overrides: list[str]
    """The overrides of Hydra's own settings."""
    choices: dict[str, str]
    """The chosen option of every group but that of the task."""
    task: str
    """The option of the group `task`: what the command does."""

    def __init__(self, config: DictConfig, hydra: DictConfig | None = None) -> None:
        """Take a configuration with Hydra's own node in it, or beside it."""
        hydra = config.hydra if hydra is None else hydra
        # OmegaConf would resolve a `${...}` in the overrides.
        lists = OmegaConf.to_container(hydra.overrides, resolve=False)
        assert isinstance(lists, dict)
        self.hydra_overrides = lists["hydra"]
        self._hydra = hydra
        self._config_name = hydra.job.config_name
        self._is_of_sweep = hydra.mode == RunMode.MULTIRUN
        self._typed = [parse_override(line) for line in lists["task"]]
        self._unresolved = _plain_settings(config)
        self.choices = dict(self._options.choices)
        self.task = self.choices.pop(_TASK)

    @classmethod
    def from_overrides(cls, *overrides: str) -> "ComposedConfig":
        """Compose what a command with these overrides runs. It is not validated.

        Raises:
            ConfigError: it can't be composed.
        """
        parsed = [parse_override(line) for line in overrides]
        task_overrides = [override for override in parsed if not override.is_hydra_override()]
        hydra_overrides = [str(override.input_line) for override in parsed if override.is_hydra_override()]
        with translated_errors(parsed):
            return cls._compose("config", hydra_overrides, task_overrides, is_of_sweep=False)

    @classmethod
    def compose(cls, sweep_config: DictConfig, overrides: Sequence[str]) -> "ComposedConfig":
        """Compose and validate a combination of a sweep.

        Raises:
            ConfigError: it can't be composed, or a setting is not allowed.
        """
        hydra_overrides = OmegaConf.to_container(sweep_config.hydra.overrides.hydra, resolve=False)
        assert isinstance(hydra_overrides, list)
        parsed = [parse_override(line) for line in overrides]
        try:
            with translated_errors(parsed):
                config = cls._compose(sweep_config.hydra.job.config_name, hydra_overrides, parsed, is_of_sweep=True)
        except ConfigError as error:
            raise error.with_context(f"in {' '.join(without_sweep_keys(parsed))}") from error
        config.validate()
        return config

    @classmethod
    def _compose(
        cls, config_name: str, hydra_overrides: list[str], typed: list[Override], is_of_sweep: bool
    ) -> "ComposedConfig":
        """Compose options, which takes long, once for all combinations of settings, and apply the settings to them."""
        options = compose_options(config_name, (*choices_of(map(parse_override, hydra_overrides)), *choices_of(typed)))
        check_keys(typed, options)
        typed = [*typed, *typed_over_recipe(options, typed)]
        composed = cls.__new__(cls)
        composed.hydra_overrides = hydra_overrides
        composed.choices = dict(options.choices)
        composed.task = composed.choices.pop(_TASK)
        composed._hydra = None
        composed._config_name = config_name
        composed._is_of_sweep = is_of_sweep
        composed._typed = typed
        composed.__dict__["_options"] = options
        unresolved = apply_overrides(typed, options)
        composed._unresolved = _plain_settings(composed._compose_in_hydra()) if unresolved is None else unresolved
        return composed

    def _compose_in_hydra(self) -> DictConfig:
        overrides = [*self.hydra_overrides, *self._typed_lines]
        return config_loader().load_configuration(self._config_name, overrides, run_mode=RunMode.RUN)

    @property
    def hydra(self) -> DictConfig:
        """Return Hydra's own settings."""
        if self._hydra is None:
            self._hydra = self._compose_in_hydra().hydra
        return self._hydra

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Return all settings, resolved, in plain values.

        Raises:
            ConfigError: a setting refers to something that does not exist.
        """
        self._check_root()
        for key in DATA_SHAPE_KEYS:
            group, _, name = key.partition(".")
            facts = self._unresolved.get(group)
            if isinstance(facts, dict) and facts.get(name) is None:
                problem = f"must be given in the file of {group}={self.choices.get(group)}; networks are built for it"
                raise ConfigError(key, problem=problem)
        with translated_errors(self._typed):
            return resolve(self._unresolved)

    @cached_property
    def flat_settings(self) -> dict[str, Any]:
        """Return all settings with dotted keys."""
        return flatten(self.settings)

    @cached_property
    def run_id(self) -> str:
        """Return the hash that is equal for configurations that repeat each other."""
        return run_id(self.settings)

    @cached_property
    def changed_settings(self) -> dict[str, Any] | None:
        """Return the options and the settings that change the result, if a command without overrides has others.

        Those that a recipe sets are among them. None if the defaults can't be composed, because of the user's files.
        """
        try:
            with translated_errors([]):
                defaults = self._options.defaults
                default_values = defaults.choices | defaults.flat_settings
        except ConfigError:
            return None
        values = self.choices | effective_settings(self.settings)
        return {
            key: value
            for key, value in values.items()
            if key not in default_values or normalize_value(key, value) != normalize_value(key, default_values[key])
        }

    @property
    def starts_over(self) -> bool:
        """Return whether `restart` is set, and this is not what Slurm starts again after it has stopped the job."""
        return bool(self.settings["restart"]) and os.environ.get("SLURM_RESTART_COUNT", "0") == "0"

    @property
    def needs_checkpoint_to_start(self) -> bool:
        """Return whether the first weights are those of a checkpoint, which may be gone when the run is resumed."""
        return self.settings["ckpt_path"] is not None or self.settings["init"].get("path") is not None

    @property
    def _typed_lines(self) -> list[str]:
        return [str(override.input_line) for override in self._typed]

    @cached_property
    def overrides(self) -> list[str]:
        """Return the overrides of this run, unresolved; those of the sweep as a whole are left out."""
        return without_sweep_keys(self._typed)

    @cached_property
    def overrides_by_key(self) -> dict[str, str]:
        """Return the values of all overrides but those of Hydra's own settings, by key."""
        return values_by_key(self._typed)

    @property
    def names_directory(self) -> bool:
        """Return whether the command, or the sweep that the run belongs to, names the run's directory."""
        hydra_overrides = values_by_key(map(parse_override, self.hydra_overrides))
        return self._is_of_sweep or "hydra.run.dir" in hydra_overrides

    def resume_suffix(self, directory: Path) -> str:
        """Return what has to be changed in the command of a run so that it continues in its directory."""
        suffix = " without restart=true" if self.settings["restart"] else ""
        if self.names_directory:
            return suffix
        is_plain = re.fullmatch(r"[\w./-]+", str(directory))
        override = f"hydra.run.dir={directory}" if is_plain else shlex.quote(quote_override("hydra.run.dir", directory))
        return f"{suffix} with {override}"

    def to_yaml(self) -> str:
        """Return all settings, resolved, as YAML."""
        return OmegaConf.to_yaml(OmegaConf.create(self.settings))

    def validate(self) -> None:
        """Check the settings against the defaults of the chosen options. Torch is not imported for this.

        Raises:
            ConfigError: a setting is not allowed.
        """
        with self.error_context():
            self._check_recipe()
            self._check_facts()
            validate(self.settings, self._defaults())
            self._check_source()

    def _check_root(self) -> None:
        """Check that the place of images is given from which other settings follow."""
        data = self._unresolved.get("data")
        if isinstance(data, dict) and data.get("root") == MISSING:
            expected = next(filter(None, map(expected_source, data.values())), None)
            raise ConfigError(ROOT_KEY, problem=f"must be given: {expected}" if expected else "must be given")

    def _defaults(self) -> dict[str, Any]:
        """Return the settings of the chosen options; what follows from images follows from those of this run."""
        options = self._options.without_recipe
        own, unresolved = options.unresolved.get("data"), self._unresolved.get("data")
        if not isinstance(own, dict) or not isinstance(unresolved, dict) or not any(map(is_fact, own.values())):
            return options.settings
        source = {name: unresolved[name] for name in ("root", "test_size") if name in own and name in unresolved}
        return resolve({**options.unresolved, "data": own | source})

    @contextmanager
    def error_context(self) -> Iterator[None]:
        """Add to an error which recipe set the value, what was typed and, in a sweep, which combination it is about."""
        try:
            yield
        except ConfigError as error:
            remarks = []
            recipe = self.choices.get(RECIPE)
            key = error.key
            own = self._options.without_recipe.flat_settings
            if recipe and key not in self.overrides_by_key and self.flat_settings.get(key) != own.get(key):
                remarks.append(f"set by {RECIPE}={recipe}")
            if self._is_of_sweep and key not in SWEEP_KEYS:
                remarks.append(f"in {' '.join(self.overrides)}")
            elif key in self.choices and (typed := self._typed_of_group(key)):
                remarks.append(f"with {' '.join(typed)}")
            raise error.with_context(*remarks) from error

    def _check_facts(self) -> None:
        """Check that no fact of a chosen option was changed; it may depend on other settings of that option."""
        unresolved, own = flatten(self._unresolved), flatten(self._options.without_recipe.unresolved)
        for key in READ_ONLY_KEYS:
            if key in unresolved and key in own and unresolved[key] != own[key]:
                group, _, name = key.partition(".")
                facts = resolve({**self._unresolved, group: {**self._unresolved[group], name: own[key]}})[group]
                if self.flat_settings[key] != facts[name]:
                    problem = f"must be {facts[name]}, which is fixed by the data set"
                    raise ConfigError(key, self.flat_settings[key], problem=problem)

    def _check_source(self) -> None:
        """Check that `init.path`, which is part of the identity as it was typed, names the same when the run starts."""
        path = self.settings["init"].get("path")
        if isinstance(path, str) and not Path(path).is_absolute() and self.hydra.job.chdir:
            raise ConfigError("init.path", path, problem="must be absolute with hydra.job.chdir=true")

    def _typed_of_group(self, group: str) -> list[str]:
        return [str(override.input_line) for override in self._typed if override.key_or_group.startswith(f"{group}.")]

    def _check_recipe(self) -> None:
        """Check that the values of a recipe meet the options that they are made for."""
        recipe = self.choices.get(RECIPE)
        if recipe is None:
            return
        if RECIPE in self._unresolved:
            problem = "must begin with the line # @package _global_"
            if begins_with_byte_order_mark(RECIPE, recipe, config_directories()):
                problem += "; the file begins with a byte order mark: save it as UTF-8 without one"
            raise ConfigError(RECIPE, recipe, problem=problem)
        for group in PART_GROUPS:
            if group not in self.overrides_by_key:
                continue
            set_by_recipe = [
                f"{key}={format_value(value)}"
                for key, value in self._options.set_by_recipe.items()
                if key.startswith(f"{group}.") and key not in self.overrides_by_key
            ]
            if set_by_recipe:
                problem = (
                    f"can't be combined with {RECIPE}={recipe}, "
                    f"which sets {' '.join(set_by_recipe)} for its own {group}"
                )
                raise ConfigError(group, self.overrides_by_key[group], problem=problem)

    @cached_property
    def _options(self) -> Composition:
        """Return the settings of the chosen options, before any was typed."""
        hydra_overrides = map(parse_override, self.hydra_overrides)
        return compose_options(self._config_name, (*choices_of(hydra_overrides), *choices_of(self._typed)))


def make_paths_absolute(config: DictConfig, directory: Path) -> None:
    """Let relative paths start where the command was typed, whatever becomes the working directory later."""
    for key in PATH_KEYS:
        if isinstance(path := OmegaConf.select(config, key), str):  # a data module of the user may have another kind
            OmegaConf.update(config, key, str(directory / os.path.expanduser(path)))


def _plain_settings(config: DictConfig) -> dict[str, Any]:
    """Return the settings of a configuration, unresolved and without Hydra's own."""
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}


def typed_over_recipe(options: Composition, typed: Sequence[Override]) -> list[Override]:
    """Return what typed options set although a recipe sets it too, unless it was typed itself."""
    keys = {override.key_or_group for override in typed}
    overrides = [parse_override(line) for line in options.lines_over_recipe]
    return [override for override in overrides if override.key_or_group not in keys]


@contextmanager
def translated_errors(overrides: Sequence[Override]) -> Iterator[None]:
    """Turn errors of composing these overrides into errors of settings.

    Raises:
        ConfigError: Hydra or OmegaConf raised an error inside.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise translate(error, values_by_key(overrides)) from error
