"""TensorBoard: scalars by Lightning, and the run's row in the HParams tab, finished or not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from cnn_experiments.runs import hparams


class Dashboard(TensorBoardLogger):
    """Event files in `folder` itself, so that a run's name in TensorBoard is its path."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, name="", version="", default_hp_metric=False)
        self._folder = folder

    @rank_zero_only
    def begin(self, settings: Mapping[str, Any]) -> None:
        """Opens the run's row."""
        hparams.begin(self._folder, settings)

    @rank_zero_only
    def end(self, status: str) -> None:
        """Closes the run's row as completed, failed or interrupted."""
        hparams.end(self._folder, status)
        self.experiment.close()

    def save(self) -> None:
        """Only what TensorBoard reads: Lightning's would add a hparams.yaml beside the run's own config.yaml."""
        self.experiment.flush()
