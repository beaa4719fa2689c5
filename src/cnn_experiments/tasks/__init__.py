"""What a command can do: the registry of tasks, whose modules are imported when they are needed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from cnn_experiments.config.rules import one_of
from cnn_experiments.errors import ConfigError

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
    needs_run_directory: bool
    """Whether every configuration is a run with a directory of its own; otherwise all are handled together."""
    preflight: str | None = None
    """The function that checks the settings before anything is done, `module:name`. A task that uses a trained network
    has none: its settings are those of the checkpoint, which it checks itself."""
    needs_checkpoint: bool = False
    """Whether it uses the network that `ckpt_path` names, with the settings of its run."""

    def run(self, configs: "Sequence[ComposedConfig]", directory: "RunDirectory | None") -> None:
        """Do the task."""
        task: Task = resolve_name(self.target)
        task(configs, directory)


TASKS: dict[str, TaskSpec] = {
    "train": TaskSpec(
        target="cnn_experiments.tasks.train:train",
        needs_run_directory=True,
        preflight="cnn_experiments.training.preflight:check_training",
    ),
    "find_lr": TaskSpec(
        target="cnn_experiments.tasks.find_lr:find_lr",
        needs_run_directory=False,
        preflight="cnn_experiments.training.preflight:check_learning_rate_search",
    ),
    "inspect": TaskSpec(
        target="cnn_experiments.tasks.inspect:inspect",
        needs_run_directory=False,
        preflight="cnn_experiments.training.preflight:check_parts",
    ),
    "evaluate": TaskSpec(
        target="cnn_experiments.tasks.evaluate:evaluate",
        needs_run_directory=False,
        needs_checkpoint=True,
    ),
    "predict": TaskSpec(
        target="cnn_experiments.tasks.predict:predict",
        needs_run_directory=False,
        needs_checkpoint=True,
    ),
    "explain": TaskSpec(
        target="cnn_experiments.tasks.explain:explain",
        needs_run_directory=False,
        needs_checkpoint=True,
    ),
    "export": TaskSpec(
        target="cnn_experiments.tasks.export:export",
        needs_run_directory=False,
        needs_checkpoint=True,
    ),
}


def task_of(config: "ComposedConfig") -> TaskSpec:
    """Return the task of a configuration.

    Raises:
        ConfigError: there is no such task.
    """
    one_of(*TASKS).check("task", config.task)
    return TASKS[config.task]


def preflight(config: "ComposedConfig", directory: Path | None = None) -> None:
    """Build the parts of a configuration without memory for its tensors, to find out whether they work together.

    Args:
        config: of one run.
        directory: of the run, if it has been chosen, whether it exists or not. If the run continues there from a
            checkpoint of its own, that of `ckpt_path` or `init.path` may be gone by then.

    Raises:
        ConfigError: they do not.
    """
    spec = task_of(config)
    with config.error_context():
        if spec.needs_checkpoint and config.settings["ckpt_path"] is None:
            problem = f"must be a run's directory or a checkpoint for task={config.task}, which uses its network"
            raise ConfigError("ckpt_path", None, problem=problem)
        if spec.preflight is not None:
            check: Callable[[Mapping[str, Any], bool], None] = resolve_name(spec.preflight)
            check(config.settings, _continues_by_itself(config, directory))


def _continues_by_itself(config: "ComposedConfig", directory: Path | None) -> bool:
    if directory is None or not config.needs_checkpoint_to_start:
        return False
    from cnn_experiments.runs.directory import RunDirectory

    return RunDirectory(directory).continues_by_itself(config.run_id, restart=config.starts_over)
