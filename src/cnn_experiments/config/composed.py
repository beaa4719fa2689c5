"""One combination of settings: composed by Hydra, and checked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from cnn_experiments.config.hydra_errors import explain
from cnn_experiments.config.schema import OF_A_SWEEP, check, flat, plain, text
from cnn_experiments.errors import Refusal
from cnn_experiments.runs.fingerprint import identity

_OF_ONE_OPTION = {"model", "init", "optimizer", "scheduler"}
"""Groups whose values mean something else for another option."""

_defaults_of: dict[tuple[str, ...], dict[str, Any]] = {}
"""By the options chosen: composing takes a tenth of a second, and the combinations of a sweep share most."""


class Combination:
    """The settings of one run."""

    def __init__(self, config: DictConfig, hydra: DictConfig | None = None) -> None:
        """Takes a configuration with Hydra's own part in it or beside it."""
        self.config = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        """The settings without Hydra's own, which stand before the job that they refer to."""
        self.hydra = config.hydra if hydra is None else hydra

    @classmethod
    def of_a_sweep(cls, sweep: DictConfig, overrides: Sequence[str]) -> "Combination":
        """Composes a combination.

        Raises:
            Refusal: it can't be composed; says which it is.
        """
        loader = GlobalHydra.instance().config_loader()
        try:
            return cls(loader.load_sweep_config(sweep, list(overrides)))
        except HydraException as error:
            raise Refusal(f"{explain(error, list(overrides))} (in {' '.join(overrides)})") from error

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All of them, resolved, in plain values."""
        return plain(self.config)

    @property
    def identity(self) -> str:
        """Equal for combinations that repeat each other."""
        return identity(self.settings)

    @property
    def options(self) -> dict[str, str]:
        """The one chosen in every group."""
        choices = self.hydra.runtime.choices.items()
        return {group: choice for group, choice in choices if choice is not None and not group.startswith("hydra/")}

    @property
    def overrides(self) -> list[str]:
        """What was typed for this run."""
        return [each for each in self.hydra.overrides.task if each.partition("=")[0].lstrip("+") not in OF_A_SWEEP]

    @property
    def typed(self) -> dict[str, str]:
        """All that was typed, by key."""
        pairs = (override.lstrip("+").partition("=") for override in self.hydra.overrides.task)
        return {key: value for key, _, value in pairs}

    def check(self) -> None:
        """Holds the settings against those of the chosen options alone. Torch is not imported for this.

        Raises:
            Refusal: a setting is not allowed.
        """
        with self._named():
            self._check_recipe()
            check(self.settings, self._defaults)

    def check_parts(self) -> None:
        """Builds all parts, without memory for the network.

        Raises:
            Refusal: they don't work, or not together.
        """
        from cnn_experiments.training.build import check_parts

        with self._named():
            check_parts(self.config)

    def _check_recipe(self) -> None:
        """A recipe's values are for its own options."""
        recipe = self.options.get("experiment")
        if recipe is None:
            return
        if "experiment" in self.config:
            raise Refusal(f"experiment={recipe}: must begin with the line # @package _global_")
        without = flat(self._defaults)
        for group in sorted(_OF_ONE_OPTION & self.typed.keys()):
            kept = [
                f"{key}={text(value)}"
                for key, value in flat(self.settings).items()
                if key.startswith(f"{group}.") and key not in self.typed and value != without.get(key)
            ]
            if kept:
                raise Refusal(
                    f"{group}={self.typed[group]}: must be left out beside experiment={recipe}, "
                    f"which sets {' '.join(kept)} for its own {group}"
                )

    @contextmanager
    def _named(self) -> Iterator[None]:
        """A refusal says which recipe set the value, and in a sweep, which combination it is about."""
        try:
            yield
        except Refusal as refusal:
            said = str(refusal)
            key = said.partition("=")[0]
            recipe = self.options.get("experiment")
            if recipe and key not in self.typed and flat(self.settings).get(key) != flat(self._defaults).get(key):
                said += f" (set by experiment={recipe})"
            if self.hydra.mode == RunMode.MULTIRUN and key not in OF_A_SWEEP:
                said += f" (in {' '.join(self.overrides)})"
            raise Refusal(said) from refusal

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        """The chosen options as they are without a value overridden, on the command line or in an experiment."""
        added = {override[1:].partition("=")[0] for override in self.hydra.overrides.task if override.startswith("+")}
        choices = [
            f"{'+' if group in added else ''}{group}={choice}"
            for group, choice in self.options.items()
            if group.partition("/")[0] in self.config
        ]
        searched = [override for override in self.hydra.overrides.hydra if override.startswith("hydra.searchpath=")]
        key = (self.hydra.job.config_name, *choices, *searched)
        if key not in _defaults_of:
            loader: ConfigLoader = GlobalHydra.instance().config_loader()
            config = loader.load_configuration(key[0], choices + searched, run_mode=RunMode.RUN)
            _defaults_of[key] = Combination(config).settings
        return _defaults_of[key]


def do_at_once(combinations: Sequence[Combination]) -> None:
    """Does a task that leaves no folder, for all combinations together.

    Raises:
        Refusal: there is another task among them.
    """
    tasks = list(dict.fromkeys(combination.options["task"] for combination in combinations))
    if len(tasks) > 1:
        raise Refusal(f"task={','.join(tasks)}: must be one task, because one of these leaves no runs")
    overrides = [combination.overrides for combination in combinations]
    shared = set(overrides[0]).intersection(*overrides)
    varied = [[each for each in given if each not in shared and not each.startswith("model=")] for given in overrides]
    names = [
        " ".join([combination.options["model"], *each]) for combination, each in zip(combinations, varied, strict=True)
    ]
    configs = [combination.config for combination in combinations]
    get_method(configs[0].task._target_)(list(zip(names, configs, strict=True)))
