"""TensorBoard logging: scalars, and the run's row in the HParams tab."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from cnn_experiments.runs import hparams
from cnn_experiments.runs.status import Status


class RunLogger(TensorBoardLogger):
    """Write event files into the run directory itself, so that TensorBoard names the run after its path."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, name="", version="", default_hp_metric=False)
        self._directory = directory

    @rank_zero_only
    def log_start(self, settings: Mapping[str, Any]) -> None:
        """Open the run's row in the HParams tab."""
        hparams.write_session_start(self._directory, settings)

    @rank_zero_only
    def log_end(self, status: Status) -> None:
        """Close the run's row with its status: completed, failed or interrupted."""
        hparams.write_session_end(self._directory, status)
        self.experiment.close()

    def save(self) -> None:
        """Flush the event files; Lightning's method also writes hparams.yaml, which config.yaml makes superfluous."""
        self.experiment.flush()
