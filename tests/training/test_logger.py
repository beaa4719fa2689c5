"""Tests of the TensorBoard logger of a run."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from cnn_experiments.training.logger import RunLogger


@pytest.mark.parametrize(("status", "code"), [("completed", 1), ("failed", 2), ("interrupted", 2)])
def test_row_of_a_run_has_its_settings_and_its_status(tmp_path: Path, status: str, code: int) -> None:
    logger = RunLogger(tmp_path)
    logger.log_start({"optimizer.lr": 0.01})
    logger.log_end(status)
    events = EventAccumulator(str(tmp_path)).Reload()
    rows = {
        tag: HParamsPluginData.FromString(events.SummaryMetadata(tag).plugin_data.content)
        for tag in events.PluginTagToContent("hparams")
    }
    start = rows["_hparams_/session_start_info"].session_start_info
    assert {key: value.number_value for key, value in start.hparams.items()} == {"optimizer.lr": 0.01}
    assert rows["_hparams_/session_end_info"].session_end_info.status == code


def test_scalars_are_written_into_the_run_directory_and_nothing_else(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path)
    logger.log_metrics({"val/acc": 0.5}, step=7)
    logger.save()
    logger.log_end("completed")
    assert all(path.name.startswith("events.out.tfevents.") for path in tmp_path.iterdir())
    scalars = EventAccumulator(str(tmp_path)).Reload().Scalars("val/acc")
    assert [(event.step, event.value) for event in scalars] == [(7, 0.5)]
