"""TensorBoard: scalars by Lightning, and the HParams tab with a row for every run, finished or not."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams

_METRICS = ("test/acc", "val/acc")
_STATUS = {
    "completed": api_pb2.STATUS_SUCCESS,
    "failed": api_pb2.STATUS_FAILURE,
    "interrupted": api_pb2.STATUS_FAILURE,
}


class Dashboard(TensorBoardLogger):
    """Event files in `folder` itself, so that a run's name in TensorBoard is its path.

    The metrics of the HParams tab are the last values of the scalars of the same name, never a placeholder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, name="", version="", default_hp_metric=False)

    @rank_zero_only
    def begin(self, settings: Mapping[str, Any]) -> None:
        """Opens the run's row: flat settings, without those that are None and without the names of classes."""
        plain = {key: _plain(value) for key, value in settings.items() if value is not None and "._" not in key}
        experiment, session, _ = hparams(plain, dict.fromkeys(_METRICS, 0.0))
        self._write(experiment)
        self._write(session)

    @rank_zero_only
    def end(self, status: str) -> None:
        """Closes the run's row as completed, failed or interrupted."""
        *_, end = hparams({}, {})
        plugin_data = end.value[0].metadata.plugin_data
        content = HParamsPluginData.FromString(plugin_data.content)
        content.session_end_info.status = _STATUS[status]
        content.session_end_info.end_time_secs = time.time()
        plugin_data.content = content.SerializeToString()
        self._write(end)
        self.experiment.close()

    def save(self) -> None:
        """Only what TensorBoard reads: Lightning's would add a hparams.yaml beside the run's own config.yaml."""
        self.experiment.flush()

    def _write(self, summary: Any) -> None:
        self.experiment._get_file_writer().add_summary(summary)


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)
