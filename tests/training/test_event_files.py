"""Tests of TensorBoard's event files."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from cnn_experiments.training.event_files import EventFileLogger


@pytest.mark.parametrize(("status", "code"), [("success", 1), ("failed", 2), ("aborted", 2)])
def test_row_of_a_run_has_its_settings_and_its_status(tmp_path: Path, status: str, code: int) -> None:
    logger = EventFileLogger(str(tmp_path))
    logger.log_hyperparams({"optimizer.lr": 0.01})
    logger.finalize(status)
    events = EventAccumulator(str(tmp_path)).Reload()
    rows = {
        tag: HParamsPluginData.FromString(events.SummaryMetadata(tag).plugin_data.content)
        for tag in events.PluginTagToContent("hparams")
    }
    start = rows["_hparams_/session_start_info"].session_start_info
    assert {key: value.number_value for key, value in start.hparams.items()} == {"optimizer.lr": 0.01}
    assert rows["_hparams_/session_end_info"].session_end_info.status == code


def test_scalars_are_written_into_the_run_directory_and_nothing_else(tmp_path: Path) -> None:
    logger = EventFileLogger(str(tmp_path))
    logger.log_metrics({"val/acc": 0.5}, step=7)
    logger.save()
    logger.finalize("success")
    assert all(path.name.startswith("events.out.tfevents.") for path in tmp_path.iterdir())
    scalars = EventAccumulator(str(tmp_path)).Reload().Scalars("val/acc")
    assert [(event.step, event.value) for event in scalars] == [(7, 0.5)]


def test_event_files_are_not_written_through_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / "events.out.tfevents.0.hparams").symlink_to(elsewhere)
    EventFileLogger(str(run)).log_hyperparams({"optimizer.lr": 0.01})
    assert elsewhere.read_text() == "mine"
    assert not (run / "events.out.tfevents.0.hparams").is_symlink()
