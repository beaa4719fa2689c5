"""What happens between the command of a run and the run: settings are checked, then a folder is claimed.

A task that leaves no folder has no runs: it is done here, and the program ends.

Hydra calls this when the configuration is composed and before it writes anything.
"""

import sys
from itertools import count
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, read_write

from cnn_experiments.config.composed import Combination, do_at_once
from cnn_experiments.config.hydra_errors import refusing
from cnn_experiments.config.schema import OF_A_SWEEP
from cnn_experiments.errors import Refusal
from cnn_experiments.runs.directory import Standing, hold, is_free
from cnn_experiments.runs.fingerprint import stored_identity
from cnn_experiments.runtime.distributed import is_rank_zero


class Gate(Callback):
    """Lets a run through, or ends the program with one line and status 2. The sweeper does the same for a sweep."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Keeps out sweepers that check nothing and know of no run that is done."""
        with refusing():
            for part in ("sweeper", "launcher"):
                if isinstance(chosen := config.hydra[part], str):
                    raise Refusal(f"hydra.{part}={chosen}: an option is chosen with a slash, hydra/{part}={chosen}")
            if not config.hydra.sweeper._target_.startswith("hydra_plugins.cnn_experiments_sweepers."):
                raise Refusal(
                    f"hydra/sweeper={config.hydra.runtime.choices['hydra/sweeper']}: must be one of grid, optuna"
                )

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Checks a run and claims its folder: the first of several processes does, and the others follow."""
        with refusing():
            first = is_rank_zero()
            run = Combination(config)
            if first:
                _check(run)
            if not config.task.folder:
                if first:
                    do_at_once([run])
                sys.exit(0)
            if first:
                _claim(config, run.identity)


def _check(run: Combination) -> None:
    run.check()
    for key in OF_A_SWEEP:
        if key in run.typed:
            raise Refusal(f"{key}={run.typed[key]}: is for a sweep, which needs -m")
    for override in run.hydra.overrides.hydra:
        if override.startswith(("hydra.launcher.", "hydra/launcher=", "hydra.sweeper.", "hydra/sweeper=")):
            raise Refusal(f"{override}: is for a sweep, which needs -m")
    run.check_parts()


def _claim(config: DictConfig, identity: str) -> None:
    """Makes the folder of a run; of two processes that want it, one gets it."""
    HydraConfig.instance().set_config(config)  # the folder's name refers to it
    wanted = Path(config.hydra.run.dir)
    if any(override.startswith("hydra.run.dir=") for override in config.hydra.overrides.hydra):
        _claim_chosen(wanted, identity)
        return
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            continue
    hold(folder)
    with read_write(config.hydra):
        config.hydra.run.dir = str(folder)


def _claim_chosen(folder: Path, identity: str) -> None:
    """A new folder, or one in which this same run stopped."""
    given = f"hydra.run.dir={folder}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise Refusal(f"{given}: must be a folder; this is a file") from None
    if not is_free(folder) and stored_identity(Standing.of(folder).results) != identity:
        raise Refusal(f"{given}: must be a new folder; this one is there already")
    if not hold(folder):
        raise Refusal(f"{given}: must be a new folder; another process is at work in this one")
    if Standing.of(folder).status == "completed":
        raise Refusal(f"{given}: must be a new folder; this same run is complete in this one")
