"""Tests of the TensorBoard logger of a run."""

import errno
import os
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


def test_full_disk_ends_the_event_files_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logger = RunLogger(tmp_path)
    logger.log_start({"optimizer.lr": 0.01})
    logger.log_metrics({"val/acc": 0.5}, step=7)
    write = os.write

    def write_half(descriptor: int, content: bytes) -> int:
        if len(content) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content[: len(content) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write_half)
        logger.log_metrics({"val/acc": 0.75}, step=14)
    logger.log_metrics({"val/acc": 0.875}, step=21)
    logger.log_end("completed")
    assert [record.message for record in caplog.records] == [
        "TensorBoard's event files end here: [Errno 28] No space left on device"
    ]
    scalars = EventAccumulator(str(tmp_path)).Reload().Scalars("val/acc")  # which stops at an incomplete record
    assert [(event.step, event.value) for event in scalars] == [(7, 0.5)]


def test_event_files_are_not_written_through_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / "events.out.tfevents.0.hparams").symlink_to(elsewhere)
    RunLogger(run).log_start({"optimizer.lr": 0.01})
    assert elsewhere.read_text() == "mine"
    assert not (run / "events.out.tfevents.0.hparams").is_symlink()


def test_process_that_is_no_writer_writes_no_event_files(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path, is_writer=False)
    logger.log_start({"optimizer.lr": 0.01})
    logger.log_metrics({"val/acc": 0.5}, step=7)
    logger.log_end("completed")
    assert list(tmp_path.iterdir()) == []
