"""Tests of the HParams tab, as TensorBoard's own plugin reads it."""

from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.get_experiment import Handler as ExperimentHandler
from tensorboard.plugins.hparams.list_session_groups import Handler as SessionGroupsHandler
from torch.utils.tensorboard import SummaryWriter

from cnn_experiments.runs import hparams
from cnn_experiments.runs.status import Status

TAGS = (hparams.best_tag("val/acc"), "test/acc")


def read_hparams(logdir: Path) -> tuple[dict[str, str], dict[str, tuple[dict[str, Any], str, dict[str, float]]]]:
    """Return the columns with their types, and each row with its settings, status and metrics."""
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(logdir))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(logdir))
    context = Context(base_plugin.TBContext(data_provider=provider, logdir=str(logdir)))
    experiment = ExperimentHandler(RequestContext(), context, "", api_pb2.GetExperimentRequest()).run()
    request = api_pb2.ListSessionGroupsRequest(
        slice_size=100,
        allowed_statuses=[
            api_pb2.STATUS_UNKNOWN,
            api_pb2.STATUS_SUCCESS,
            api_pb2.STATUS_FAILURE,
            api_pb2.STATUS_RUNNING,
        ],
    )
    rows = SessionGroupsHandler(RequestContext(), context, "", request).run().session_groups
    return (
        {info.name: api_pb2.DataType.Name(info.type).removeprefix("DATA_TYPE_") for info in experiment.hparam_infos},
        {
            row.name: (
                {
                    key: value.WhichOneof("kind") and getattr(value, value.WhichOneof("kind"))
                    for key, value in row.hparams.items()
                },
                api_pb2.Status.Name(row.sessions[0].status).removeprefix("STATUS_"),
                {value.name.tag: value.value for value in row.metric_values},
            )
            for row in rows
        },
    )


def write_run(directory: Path, settings: dict[str, Any], status: str | None, best: float | None = None) -> None:
    directory.mkdir(exist_ok=True)
    hparams.write_session_start(directory, settings)
    if best is not None:
        with SummaryWriter(str(directory)) as writer:
            writer.add_scalar("best/val/acc", best / 2, 1)
            writer.add_scalar("best/val/acc", best, 2)
    if status:
        hparams.write_session_end(directory, Status(status))


def test_every_run_has_one_row_with_its_status(tmp_path: Path) -> None:
    write_run(tmp_path / "a", {"model": "lenet", "lr": 0.1, "seed": 0}, "completed", best=0.875)
    write_run(tmp_path / "b", {"model": "lenet", "lr": 0.2, "seed": 1}, "failed")
    write_run(tmp_path / "c", {"model": "nin", "lr": 0.2, "seed": 2}, "interrupted")
    write_run(tmp_path / "d", {"model": "nin", "lr": 0.2, "seed": 3}, None)
    hparams.write_experiment(tmp_path, {"model": ["lenet", "nin"], "lr": [0.1, 0.2]}, TAGS)
    columns, rows = read_hparams(tmp_path)
    assert columns == {"model": "STRING", "lr": "FLOAT64"}
    assert {name: status for name, (_, status, _) in rows.items()} == {
        "a": "SUCCESS",
        "b": "FAILURE",
        "c": "FAILURE",
        "d": "UNKNOWN",
    }
    assert rows["a"] == ({"model": "lenet", "lr": 0.1, "seed": 0.0}, "SUCCESS", {"best/val/acc": 0.875})
    assert rows["b"][2] == {}


def test_resumed_run_has_its_last_status(tmp_path: Path) -> None:
    write_run(tmp_path / "a", {"model": "lenet"}, "interrupted")
    write_run(tmp_path / "a", {"model": "lenet"}, "completed")
    _, rows = read_hparams(tmp_path)
    assert [status for _, status, _ in rows.values()] == ["SUCCESS"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, False], "BOOL"),
        ([1, 0.5], "FLOAT64"),
        ([None, 0.5], "STRING"),
        (["[2, 2]", "[4]"], "STRING"),
        ([True, 0.5], "STRING"),
    ],
)
def test_column_has_a_type_that_fits_all_values(tmp_path: Path, values: list[Any], kind: str) -> None:
    for number, value in enumerate(values):
        write_run(tmp_path / str(number), {"x": value}, "completed")
    hparams.write_experiment(tmp_path, {"x": values}, TAGS)
    columns, rows = read_hparams(tmp_path)
    assert columns == {"x": kind}
    assert len(rows) == len(values)


def test_null_and_lists_are_readable(tmp_path: Path) -> None:
    write_run(tmp_path / "a", {"x": None, "depths": [2, 2], "model._target_": "a.B", "flip": True}, "completed")
    _, rows = read_hparams(tmp_path)
    assert rows["a"][0] == {"x": "null", "depths": "[2, 2]", "flip": True}
