"""What a sweep consists of: its directory, and its runs with theirs."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, read_write

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.overrides import quote_override, run_argv
from cnn_experiments.console import print_line
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.directory import is_unused, numbered_paths
from cnn_experiments.runs.fingerprint import COMMAND_KEYS, SEED_KEYS
from cnn_experiments.runs.path_errors import check_directory
from cnn_experiments.runs.plan_file import write_plan
from cnn_experiments.runs.results import RESULTS_FILE
from cnn_experiments.runs.settings import split_override
from cnn_experiments.runs.state import RunState, next_action
from cnn_experiments.runs.status import Action, Status
from cnn_experiments.runtime.progress import with_progress
from cnn_experiments.sweep.naming import hash_in_name, hash_of_name, run_name, sweep_name, value_name
from cnn_experiments.tasks import preflight

_SWEEP_DIR = "hydra.sweep.dir"
_SETTING = re.compile(r"\$\{([^}:]+)\}")
"""A reference to a setting, `${seed}`, not one to what a resolver knows, `${now:%H}`."""

_COST_PREFIXES = (
    *("model.", "data.", "augment.", "loss.", "metrics.", "callbacks.", "trainer."),
    *("compile", "memory_format"),
)


@dataclass(frozen=True)
class PlannedRun:
    """A run of a sweep and its directory, whether it has started or not."""

    config: ComposedConfig
    directory: Path

    @property
    def cost_key(self) -> str:
        """Return a key for what duration and memory depend on: all but the optimizer, its schedule and the seeds."""
        settings = self.config.flat_settings.items()
        return str([(key, value) for key, value in settings if key.startswith(_COST_PREFIXES) and key != "data.seed"])

    def read_state(self) -> RunState:
        """Read the state of the run from its directory."""
        return RunState.read(self.directory)

    def next_action(self, state: RunState | None = None) -> Action:
        """Decide what is done next, as the sweep's `retry_failed` says; the state is read unless it is given."""
        return next_action(
            state or self.read_state(),
            self.config.run_id,
            retry_failed=self.config.settings["retry_failed"],
            restart=self.config.starts_over,
        )

    def continued(self, sweep_config: DictConfig) -> "PlannedRun":
        """Return the run as the sweep would have planned it without `restart`."""
        overrides = [line for line in self.config.overrides if split_override(line)[0] != "restart"]
        return replace(self, config=ComposedConfig.compose(sweep_config, [*overrides, "restart=false"]))

    def write_plan(self) -> None:
        """Write the settings into the run's directory, with which its process compares those that it composes.

        Raises:
            OSError: that is not possible.
        """
        write_plan(self.directory, self.config.settings)

    @cached_property
    def argv(self) -> list[str]:
        """Return the command line of this run alone, the program's name first."""
        return run_argv(self.config.overrides, self.config.hydra_overrides, self.directory)


def default_name(overrides: Iterable[Override]) -> str:
    """Return the name of a sweep that was given none."""
    keys = [
        override.key_or_group
        for override in overrides
        if override.is_sweep_override() or override.key_or_group.partition(".")[0] != "trainer"
    ]
    return sweep_name(key for key in keys if key not in COMMAND_KEYS)


def sweep_directory(config: DictConfig, name: str) -> Path:
    """Return the directory of a sweep, and put its name into the sweep's configuration.

    Raises:
        ConfigError: it can't be read, or can't be made.
    """
    unresolved = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
    assert isinstance(unresolved, list)
    for key, value in map(split_override, unresolved):
        if key == _SWEEP_DIR and (setting := _SETTING.search(value)) and setting[1] != "sweep":
            raise ConfigError(key, value, problem=f"can't refer to {setting[1]}, which is a setting of the runs")
    with read_write(config):
        config.sweep = name
    HydraConfig.instance().set_config(config)
    path = config.hydra.sweep.dir
    if not isinstance(path, str) or not path:
        raise ConfigError(_SWEEP_DIR, "''" if path == "" else path, problem="must be the path of a directory")
    directory = Path(path)
    check_directory(_SWEEP_DIR, directory, must_be_writable=False)
    with read_write(config.hydra):
        # Each run is composed again from the overrides, and must get the same directory.
        config.hydra.overrides.hydra.append(quote_override(_SWEEP_DIR, directory))
    return directory


@dataclass(frozen=True)
class StoredRun:
    """A run that is in a sweep's directory, and its state when it was read."""

    directory: Path
    state: RunState


class RunPaths:
    """Chooses the directories of a sweep's runs, named after their networks and what varies.

    Args:
        directory: the sweep's.
        varying_keys: groups and settings with several values.
        known: the runs that are there already, by run id.
    """

    def __init__(self, directory: Path, varying_keys: Iterable[str], known: Mapping[str, StoredRun]) -> None:
        self._directory = directory
        self._varying_keys = [key for key in varying_keys if key != "model"]
        self._by_run_id = {run_id: run.directory for run_id, run in known.items()}

    def path_for(self, config: ComposedConfig) -> Path:
        """Return the directory of a run: the same again for one that repeats it."""
        run_id = config.run_id
        if run_id not in self._by_run_id:
            choices, overrides = config.choices, config.overrides_by_key
            words = [choices["model"], *(value_name(key, overrides[key], choices) for key in self._varying_keys)]
            self._by_run_id[run_id] = _unused_directory(self._directory / run_name(words, run_id))
        return self._by_run_id[run_id]


def find_runs_by_id(directory: Path) -> dict[str, StoredRun]:
    """Return the run of every run id in a sweep's directory, a completed one if several are equal.

    A line is printed for each damaged run.

    Raises:
        ConfigError: the directory can't be read.
    """
    runs: dict[str, StoredRun] = {}
    for path in with_progress(_subdirectories(directory), "reading runs"):
        state = RunState.read(path)
        if state.status == Status.DAMAGED:
            consequence = "its run is not counted; a run that repeats it trains in a new directory"
            print_line(f"{path / RESULTS_FILE} is damaged ({state.problem}); {consequence}", style="yellow")
        elif state.run_id is not None and (state.run_id not in runs or state.status == Status.COMPLETED):
            runs[state.run_id] = StoredRun(path, state)
    return runs


def _subdirectories(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(_SWEEP_DIR, directory, problem=f"could not be read: {error.strerror}") from error


def find_completed_elsewhere(directory: Path, run_ids: Collection[str]) -> list[str]:
    """Return those of some run ids whose runs are completed in the directory of another sweep.

    Only runs are read whose directory has the name that a sweep gives it; what can't be read is passed over.
    """
    by_hash = {hash_in_name(run_id): run_id for run_id in run_ids}
    try:
        paths = [path for path in directory.iterdir() if hash_of_name(path.name) in by_hash]
        states = [RunState.read(path) for path in paths]
    except OSError:
        return []
    completed = {state.run_id for state in states if state.status == Status.COMPLETED}
    return [run_id for run_id in run_ids if run_id in completed]


def _unused_directory(wanted: Path) -> Path:
    return next(path for path in numbered_paths(wanted) if not path.exists() or (path.is_dir() and is_unused(path)))


class InvalidCombinations:
    """Combinations that can't work: an error, or left out if `skip` says so."""

    def __init__(self, skip: bool) -> None:
        self.errors: list[ConfigError] = []
        self.configs: list[ComposedConfig] = []
        self._skip = skip

    def raise_unless_skipped(self, any_valid: bool) -> None:
        """Check that the sweep can continue without them.

        Raises:
            ConfigError: they are not to be skipped, or no combination is valid.
        """
        if not self.errors or (self._skip and any_valid):
            return
        remedies = []
        num_others = len(self.errors) - 1
        if num_others:
            others = "combination is" if num_others == 1 else "combinations are"
            remedies.append(f"{num_others} more {others} invalid")
        if any_valid:
            remedies.append("on_invalid=skip skips invalid combinations")
        raise self.errors[0].with_context(remedy="; ".join(remedies) or None) from self.errors[0]


def drop_invalid(
    configs: Sequence[ComposedConfig], invalid: InvalidCombinations, directories: Mapping[str, Path]
) -> list[ComposedConfig]:
    """Return the configurations whose parts work together; which do is checked once for all seeds.

    Args:
        configs: all of them.
        invalid: gets the others.
        directories: of the runs by run id, if the task has run directories.
    """
    checked: dict[str, ConfigError | None] = {}
    valid = []
    for config in with_progress(configs, "checking the combinations"):
        # Whether `ckpt_path` suits a run depends on its seed, and whether a checkpoint is needed, on its directory.
        varying = () if config.needs_checkpoint_to_start else SEED_KEYS
        key = str([(name, value) for name, value in config.flat_settings.items() if name not in varying])
        if key not in checked:
            checked[key] = _preflight_error(config, directories.get(config.run_id))
        if error := checked[key]:
            invalid.errors.append(error)
            invalid.configs.append(config)
        else:
            valid.append(config)
    return valid


def _preflight_error(config: ComposedConfig, directory: Path | None) -> ConfigError | None:
    try:
        preflight(config, directory)
    except ConfigError as error:
        return error
    return None


def plan_runs(directories: RunPaths, configs: Sequence[ComposedConfig]) -> list[PlannedRun]:
    """Return one run for each different configuration, in order."""
    unique: dict[str, ComposedConfig] = {}
    for config in configs:
        unique.setdefault(config.run_id, config)
    return [PlannedRun(config, directories.path_for(config)) for config in unique.values()]
