"""What happens between composing the configuration of a run and the run: checks, and a directory of its own."""

from pathlib import Path

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.directory import RunDirectory, foreign_file_problem, is_unused, make_unused_directory
from cnn_experiments.runs.lock import acquire
from cnn_experiments.runs.path_errors import check_printable, path_errors
from cnn_experiments.runs.plan_file import check_plan, rejection_recorded
from cnn_experiments.runs.state import RunState, next_action
from cnn_experiments.runs.status import Action, Status

_KEY = "hydra.run.dir"


def check_settings(run: ComposedConfig, named_directory: Path | None) -> None:
    """Check the settings of a run, and that they are those that a sweep planned for the directory.

    Args:
        run: what is checked.
        named_directory: the directory that was typed, or that a sweep has chosen.

    Raises:
        ConfigError: a setting is not allowed, or not the planned one.
    """
    with rejection_recorded(named_directory):
        if named_directory is not None:
            check_plan(named_directory, run.settings)
        run.validate()


def claim_new_directory(wanted: Path) -> Path:
    """Make and lock the directory of a run, with a number appended if there is one of this name; return its path.

    Raises:
        ConfigError: it can't be made.
    """
    check_printable(_KEY, wanted)
    with path_errors(_KEY, wanted):
        directory = make_unused_directory(wanted)
        acquire(directory)
    return directory


def claim_named_directory(directory: Path, run: ComposedConfig, *, is_first: bool = True) -> bool:
    """Lock a new directory, or one in which this same run stopped; of two processes that want it, one gets it.

    Args:
        directory: the one that was typed, or that a sweep has chosen.
        run: what is to run there.
        is_first: whether this is the first process of the run; another one makes and locks nothing.

    Returns:
        Whether the run is to be trained; False if it is completed there.

    Raises:
        ConfigError: the directory holds something else, can't be used, or another process works there.
    """
    check_printable(_KEY, directory)
    with path_errors(_KEY, directory):
        return _claim_named_directory(directory, run, is_first)


def _claim_named_directory(directory: Path, run: ComposedConfig, is_first: bool) -> bool:
    def read_action(state: RunState) -> Action:
        return next_action(state, run.run_id, retry_failed=True, restart=run.starts_over)

    if is_first:
        directory.mkdir(parents=True, exist_ok=True)
    state = RunState.read(directory)
    action = read_action(state)
    if action == Action.SKIP:
        return False
    if problem := foreign_file_problem(directory):
        raise ConfigError(_KEY, directory, problem=problem)
    if not is_first:
        return True
    if action == Action.REJECT or (action == Action.START and not is_unused(directory)):
        reason = state.rejection(run.settings) if action == Action.REJECT else "it holds other files"
        problem = f"must be a new directory, or one in which this same run stopped; {reason}"
        remedy = None
        if state.status == Status.DAMAGED and RunDirectory(directory).find_resume_checkpoint():
            remedy = f"ckpt_path={directory} with another hydra.run.dir continues from its last checkpoint"
        raise ConfigError(_KEY, directory, problem=problem, remedy=remedy)
    ckpt_path = run.settings["ckpt_path"]
    if problem := RunDirectory(directory).ckpt_path_problem(action, ckpt_path):
        raise ConfigError("ckpt_path", ckpt_path, problem=problem)
    if not acquire(directory):
        raise ConfigError(_KEY, directory, problem="locked by another process")
    return read_action(RunState.read(directory)) != Action.SKIP
