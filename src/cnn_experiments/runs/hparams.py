"""TensorBoard's HParams tab: a session (row) for each run, and an experiment (the columns) for a sweep.

Each is written to a file of its own: TensorBoard keeps what it read first of a row, so a row that changes is rewritten.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from cnn_experiments.runs.events import append_event
from cnn_experiments.runs.regular_file import open_new
from cnn_experiments.runs.status import Status

_FILE = "events.out.tfevents.0.hparams"
"""Sorted before the files of scalars: a reader that continues with the next file does not return to an earlier one."""
_BEST = "best/"
_STATUS = {
    Status.COMPLETED: api_pb2.STATUS_SUCCESS,
    Status.FAILED: api_pb2.STATUS_FAILURE,
    Status.INTERRUPTED: api_pb2.STATUS_FAILURE,
}


def best_tag(monitor: str) -> str:
    """Return the tag of the best value so far of the metric that chooses the epoch that is tested: `best/val/acc`."""
    return f"{_BEST}{monitor}"


def write_session_start(directory: Path, settings: Mapping[str, Any]) -> None:
    """Write the start of a run's row with its settings, which have dotted keys.

    Names of classes are left out, except those of layers in a list.
    """
    start = SessionStartInfo(start_time_secs=time.time())
    for key, value in settings.items():
        if "._" not in key or "._args_." in key:
            _set_value(start.hparams[key], value)
    data = HParamsPluginData(session_start_info=start)
    open_new(directory / _FILE).close()
    _append(directory, metadata.SESSION_START_INFO_TAG, data)


def has_session(directory: Path) -> bool:
    """Return whether a run has a row."""
    return (directory / _FILE).exists()


def write_session_end(directory: Path, status: Status) -> None:
    """Write the end of a run's row: completed, failed or interrupted."""
    data = HParamsPluginData(session_end_info=SessionEndInfo(status=_STATUS[status], end_time_secs=time.time()))
    _append(directory, metadata.SESSION_END_INFO_TAG, data)


def write_experiment(directory: Path, varying: Mapping[str, Iterable[Any]], tags: Sequence[str]) -> None:
    """Write the columns of a sweep's table: the settings that vary, with all their values, and some scalars.

    Args:
        directory: of the sweep.
        varying: the values of each setting that varies.
        tags: of the scalars.
    """
    experiment = api_pb2.Experiment(
        hparam_infos=[_column(key, list(values)) for key, values in varying.items()],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=tag.removeprefix(_BEST)) for tag in tags
        ],
    )
    open_new(directory / _FILE).close()
    _append(directory, metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment))


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


def _set_value(hparam: Any, value: Any) -> None:
    if isinstance(value, bool):
        hparam.bool_value = value
    elif isinstance(value, int | float):
        hparam.number_value = value
    else:
        hparam.string_value = "null" if value is None else str(value)


def _append(directory: Path, tag: str, data: HParamsPluginData) -> None:
    value = Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR)
    append_event(directory / _FILE, Event(wall_time=time.time(), summary=Summary(value=[value])))
