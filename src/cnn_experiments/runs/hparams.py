"""TensorBoard's HParams tab: a row for each run, and for a sweep the columns. Torch is not imported here.

Both stand in files of their own: TensorBoard keeps what it read first of a row, so a row that changes is written anew.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.summary.writer.record_writer import RecordWriter

BEST = "best/val/acc"
"""The scalar of the highest validation accuracy so far, which is that of the epoch that is tested."""

_FILE = "events.out.tfevents.0.hparams"
"""Before those of scalars in their order: a reader that goes on to the next file does not come back."""
_METRICS = (BEST, "test/acc")
_STATUS = {
    "completed": api_pb2.STATUS_SUCCESS,
    "failed": api_pb2.STATUS_FAILURE,
    "interrupted": api_pb2.STATUS_FAILURE,
}


def begin(folder: Path, settings: Mapping[str, Any]) -> None:
    """Opens a run's row: flat settings, without the names of classes."""
    start = SessionStartInfo(start_time_secs=time.time())
    for key, value in settings.items():
        if "._" not in key:
            _put(start.hparams[key], value)
    data = HParamsPluginData(session_start_info=start)
    (folder / _FILE).write_bytes(b"")
    _append(folder, metadata.SESSION_START_INFO_TAG, data)


def has_begun(folder: Path) -> bool:
    """Whether there is a row for it."""
    return (folder / _FILE).exists()


def end(folder: Path, status: str) -> None:
    """Closes a run's row as completed, failed or interrupted."""
    data = HParamsPluginData(session_end_info=SessionEndInfo(status=_STATUS[status], end_time_secs=time.time()))
    _append(folder, metadata.SESSION_END_INFO_TAG, data)


def columns(folder: Path, varied: Mapping[str, Iterable[Any]]) -> None:
    """Writes in the folder of a sweep that its table shows these settings, with all their values, and two metrics."""
    experiment = api_pb2.Experiment(
        hparam_infos=[_column(key, list(values)) for key, values in varied.items()],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=tag.removeprefix("best/"))
            for tag in _METRICS
        ],
    )
    (folder / _FILE).write_bytes(b"")
    _append(folder, metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment))


def _column(key: str, values: list[Any]) -> api_pb2.HParamInfo:
    column = api_pb2.HParamInfo(name=key, differs=True)
    if all(isinstance(value, bool) for value in values):
        column.type = api_pb2.DATA_TYPE_BOOL
    elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        column.type = api_pb2.DATA_TYPE_FLOAT64
        column.domain_interval.min_value, column.domain_interval.max_value = min(values), max(values)
    else:
        column.type = api_pb2.DATA_TYPE_STRING
    return column


def _put(place: Any, value: Any) -> None:
    if isinstance(value, bool):
        place.bool_value = value
    elif isinstance(value, int | float):
        place.number_value = value
    else:
        place.string_value = "null" if value is None else str(value)


def _append(folder: Path, tag: str, data: HParamsPluginData) -> None:
    value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)
    event = Event(wall_time=time.time(), summary=Summary(value=[value]))
    with (folder / _FILE).open("ab") as file:
        if file.tell() == 0:
            RecordWriter(file).write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        RecordWriter(file).write(event.SerializeToString())
