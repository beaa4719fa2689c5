"""Weights & Biases: Lightning's logger, for runs that are resumed, fail, or have no network."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import wandb
from lightning.pytorch.loggers import WandbLogger as LightningWandbLogger


class WandbLogger(LightningWandbLogger):
    """Log to one W&B run, also if the run of this program has several parts.

    The files are in `wandb/` in the run directory; `wandb sync` uploads those of a run without a network.

    Args:
        project: where the run is listed.
        entity: a user or a team; None for that of the API key.
        name: of the run; None for the last two parts of the path of the run directory.
        mode: `online` or `offline`; None for the environment variable WANDB_MODE, or else `online`.
        timeout: the seconds after which the start fails, and after which the end waits no longer for the upload.
        tags: of the run.
        notes: of the run.
        save_dir: the run directory.
        version: the id of the run; None for a new one.
    """

    def __init__(
        self,
        project: str,
        entity: str | None,
        name: str | None,
        mode: str | None,
        timeout: float,
        tags: Sequence[str],
        notes: str | None,
        save_dir: str,
        version: str | None,
    ) -> None:
        super().__init__(
            project=project,
            entity=entity,
            name=name or "/".join(Path(save_dir).parts[-2:]),
            mode=mode,
            tags=list(tags),
            notes=notes,
            save_dir=save_dir,
            version=version or secrets.token_hex(4),
            settings=wandb.Settings(
                console="off",  # the output is in run.log
                quiet=True,
                init_timeout=timeout,
                login_timeout=timeout,
                finish_timeout=timeout,
            ),
        )

        del self._wandb_init["anonymous"]  # W&B warns of it
        self._last_step = 0

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log the metrics of an optimizer step, which is also W&B's own step: that goes on when a run is resumed.

        W&B leaves out what belongs to an earlier step than the last one. The metrics of an epoch have the number of its
        last step, from 0, or the number of steps so far.
        """
        steps = {} if step is None else {"trainer/global_step": step}
        self._last_step = max(self._last_step, step or 0)
        self.experiment.log({**metrics, **steps}, step=self._last_step)

    def finalize(self, status: str) -> None:
        """End the run: finished, failed or, if it was interrupted and can be resumed, preempted."""
        if status == "aborted":
            self.experiment.mark_preempting()
        self.experiment.finish(exit_code=0 if status == "success" else 1)
