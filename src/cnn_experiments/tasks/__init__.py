"""What a command can do: the registry of tasks, whose modules are imported when they are needed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from cnn_experiments.config.rules import one_of

if TYPE_CHECKING:
    from cnn_experiments.config.composed import ComposedConfig
    from cnn_experiments.runs.directory import RunDirectory

    Task = Callable[[Sequence[ComposedConfig], RunDirectory | None], None]
    """Takes one configuration, or several if it needs no run directory."""


@dataclass(frozen=True)
class TaskSpec:
    """What the program must know of a task before it imports it."""

    target: str
    """The function, `module:name`."""
    preflight: str
    """The function that checks the settings before anything is done, `module:name`."""
    needs_run_directory: bool
    """Whether every configuration is a run with a directory of its own; otherwise all are handled together."""

    def run(self, configs: "Sequence[ComposedConfig]", directory: "RunDirectory | None") -> None:
        """Do the task."""
        task: Task = resolve_name(self.target)
        task(configs, directory)


TASKS = {
    "train": TaskSpec(
        target="cnn_experiments.tasks.train:train",
        preflight="cnn_experiments.training.preflight:check_training",
        needs_run_directory=True,
    ),
    "inspect": TaskSpec(
        target="cnn_experiments.tasks.inspect:inspect",
        preflight="cnn_experiments.training.preflight:check_parts",
        needs_run_directory=False,
    ),
}


def task_of(config: "ComposedConfig") -> TaskSpec:
    """Return the task of a configuration.

    Raises:
        ConfigError: there is no such task.
    """
    name = config.settings["task"]
    one_of(*TASKS).check("task", name)
    return TASKS[name]


def preflight(config: "ComposedConfig", directory: Path | None = None) -> None:
    """Build the parts of a configuration without memory for its tensors, to find out whether they work together.

    Args:
        config: of one run.
        directory: of the run, if it has been chosen, whether it exists or not. If the run continues there from a
            checkpoint of its own, that of `ckpt_path` may be gone by then.

    Raises:
        ConfigError: they do not.
    """
    check: Callable[[Mapping[str, Any], bool], None] = resolve_name(task_of(config).preflight)
    with config.error_context():
        check(config.settings, _continues_by_itself(config, directory))


def _continues_by_itself(config: "ComposedConfig", directory: Path | None) -> bool:
    if config.settings["ckpt_path"] is None or directory is None:
        return False
    from cnn_experiments.runs.directory import RunDirectory

    return RunDirectory(directory).continues_by_itself(config.run_id, restart=config.starts_over)
