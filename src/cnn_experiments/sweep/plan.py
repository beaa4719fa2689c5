"""What a sweep consists of: its overrides, its folder, and where each of its runs is or will be."""

from collections.abc import Iterable, Sequence
from itertools import count
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, read_write
from omegaconf.errors import OmegaConfBaseException

from cnn_experiments.config.command_line import setting
from cnn_experiments.config.composed import Combination
from cnn_experiments.config.hydra_errors import explain
from cnn_experiments.config.schema import OF_A_SWEEP, flat
from cnn_experiments.console import print_line
from cnn_experiments.errors import Refusal
from cnn_experiments.runs.directory import Standing, is_free
from cnn_experiments.runs.fingerprint import SEEDS, stored_identity
from cnn_experiments.sweep.naming import run_name, sweep_name, word
from cnn_experiments.sweep.run import Run


def parsed(arguments: Sequence[str]) -> list[Override]:
    """Overrides as Hydra reads them.

    Raises:
        Refusal: a setting of the sweep as a whole has several values.
    """
    overrides = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(list(arguments))
    for override in overrides:
        if override.key_or_group in OF_A_SWEEP and override.is_sweep_override():
            raise Refusal(f"{override.input_line}: must be one value, for the sweep as a whole")
    return overrides


def value(overrides: Iterable[Override], key: str) -> object:
    """Of a key that has one value; None where it is not among them."""
    return next((override.value() for override in overrides if override.key_or_group == key), None)


def checked(config: DictConfig, typed: Sequence[str]) -> Combination:
    """Composes a combination of a sweep, and holds its settings against the defaults.

    Raises:
        Refusal: it can't be composed, or a setting is not allowed.
    """
    try:
        combination = Combination.of_a_sweep(config, typed)
        combination.check()
    except OmegaConfBaseException as error:
        raise Refusal(f"{explain(error)} (in {' '.join(typed)})") from error
    return combination


def default_name(overrides: Iterable[Override]) -> str:
    """The name of a sweep that was given none."""
    return sweep_name(
        override.key_or_group
        for override in overrides
        if override.key_or_group not in OF_A_SWEEP
        and (override.is_sweep_override() or override.key_or_group.partition(".")[0] != "trainer")
    )


def sweep_folder(config: DictConfig, name: str) -> Path:
    """The sweep's, which its configuration then names."""
    with read_write(config):
        config.sweep = name
    HydraConfig.instance().set_config(config)
    folder = Path(config.hydra.sweep.dir)
    if folder.exists() and not folder.is_dir():
        raise Refusal(f"hydra.sweep.dir={folder}: must be a folder; this is a file")
    with read_write(config.hydra):
        # Runs are composed afresh, from the overrides.
        config.hydra.overrides.hydra.append(setting("hydra.sweep.dir", folder))
    return folder


class Places:
    """Where the runs of a sweep are already or will be: named after their networks and the settings that vary."""

    def __init__(self, folder: Path, varied: Iterable[str]) -> None:
        self._folder = folder
        self._varied = [key for key in varied if key != "model"]
        self._there = there(folder)

    def of(self, combination: Combination) -> Path:
        """The folder of one; the same again for one that repeats it."""
        identity = combination.identity
        if identity not in self._there:
            options, typed = combination.options, combination.typed
            words = [options["model"], *(word(key, typed[key], options) for key in self._varied)]
            self._there[identity] = _new(self._folder / run_name(words, identity))
        return self._there[identity]


def there(folder: Path) -> dict[str, Path]:
    """The runs in a sweep's folder by their identity; of several, one that is complete."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.exists() else []:
        if not path.is_dir():
            continue
        standing = Standing.of(path)
        if standing.status == "damaged":
            print_line(f"{path / 'results.json'} is damaged; that run is not counted", style="yellow")
        identity = stored_identity(standing.results)
        if identity is not None and (identity not in found or standing.status == "completed"):
            found[identity] = path
    return found


def _new(wanted: Path) -> Path:
    """A folder that nothing else is in."""
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        if not folder.exists() or (folder.is_dir() and is_free(folder)):
            break
    return folder


class Impossible:
    """Combinations that can't work: refused, or left out where that is asked for."""

    def __init__(self, drop: bool) -> None:
        self.refusals: list[Refusal] = []
        self.combinations: list[Combination] = []
        self._drop = drop

    def refuse(self, works: bool) -> None:
        """Now that all are known, where they are not to be left out or nothing works without them."""
        if self.refusals and not (self._drop and works):
            others = len(self.refusals) - 1
            more = f"; {others} more can't work" if others else ""
            remedy = "; on_impossible=drop leaves that out" if works else ""
            raise Refusal(f"{self.refusals[0]}{more}{remedy}") from self.refusals[0]


def possible(runs: Iterable[Run], impossible: Impossible) -> Iterable[Run]:
    """Those whose parts work together; that does not depend on the seed."""
    found: dict[str, Refusal | None] = {}
    for run in runs:
        settings = flat(run.combination.settings).items()
        key = str([(key, value) for key, value in settings if key not in SEEDS])
        if key not in found:
            found[key] = None
            try:
                run.combination.check_parts()
            except Refusal as refusal:
                found[key] = refusal
        if refusal_of_it := found[key]:
            impossible.refusals.append(refusal_of_it)
            impossible.combinations.append(run.combination)
        else:
            yield run
