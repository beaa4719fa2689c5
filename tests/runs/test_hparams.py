"""HParams as TensorBoard's own plugin answers them."""

from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.get_experiment import Handler as Experiment
from tensorboard.plugins.hparams.list_session_groups import Handler as Rows
from torch.utils.tensorboard import SummaryWriter

from cnn_experiments.runs import hparams


def shown(logdir: Path) -> tuple[dict[str, str], dict[str, tuple[dict[str, Any], str, dict[str, float]]]]:
    """The columns with their types, and each row with its settings, status and metrics."""
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(logdir))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(logdir))
    context = Context(base_plugin.TBContext(data_provider=provider, logdir=str(logdir)))
    told = Experiment(RequestContext(), context, "", api_pb2.GetExperimentRequest()).run()
    request = api_pb2.ListSessionGroupsRequest(
        slice_size=100,
        allowed_statuses=[
            api_pb2.STATUS_UNKNOWN,
            api_pb2.STATUS_SUCCESS,
            api_pb2.STATUS_FAILURE,
            api_pb2.STATUS_RUNNING,
        ],
    )
    rows = Rows(RequestContext(), context, "", request).run().session_groups
    return (
        {info.name: api_pb2.DataType.Name(info.type).removeprefix("DATA_TYPE_") for info in told.hparam_infos},
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


def run(folder: Path, settings: dict[str, Any], status: str | None, best: float | None = None) -> None:
    folder.mkdir(exist_ok=True)
    hparams.begin(folder, settings)
    if best is not None:
        with SummaryWriter(str(folder)) as writer:
            writer.add_scalar(hparams.BEST, best / 2, 1)
            writer.add_scalar(hparams.BEST, best, 2)
    if status:
        hparams.end(folder, status)


def test_every_run_has_one_row_whatever_became_of_it(tmp_path: Path) -> None:
    run(tmp_path / "a", {"model": "lenet", "lr": 0.1, "seed": 0}, "completed", best=0.875)
    run(tmp_path / "b", {"model": "lenet", "lr": 0.2, "seed": 1}, "failed")
    run(tmp_path / "c", {"model": "nin", "lr": 0.2, "seed": 2}, "interrupted")
    run(tmp_path / "d", {"model": "nin", "lr": 0.2, "seed": 3}, None)
    hparams.columns(tmp_path, {"model": ["lenet", "nin"], "lr": [0.1, 0.2]})
    columns, rows = shown(tmp_path)
    assert columns == {"model": "STRING", "lr": "FLOAT64"}
    assert {name: status for name, (_, status, _) in rows.items()} == {
        "a": "SUCCESS",
        "b": "FAILURE",
        "c": "FAILURE",
        "d": "UNKNOWN",
    }
    assert rows["a"] == ({"model": "lenet", "lr": 0.1, "seed": 0.0}, "SUCCESS", {"best/val/acc": 0.875})
    assert rows["b"][2] == {}


def test_a_run_that_goes_on_ends_as_it_ended_last(tmp_path: Path) -> None:
    run(tmp_path / "a", {"model": "lenet"}, "interrupted")
    run(tmp_path / "a", {"model": "lenet"}, "completed")
    _, rows = shown(tmp_path)
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
def test_a_column_takes_all_its_values(tmp_path: Path, values: list[Any], kind: str) -> None:
    for number, value in enumerate(values):
        run(tmp_path / str(number), {"x": value}, "completed")
    hparams.columns(tmp_path, {"x": values})
    columns, rows = shown(tmp_path)
    assert columns == {"x": kind}
    assert len(rows) == len(values)


def test_what_is_null_or_a_list_can_be_read(tmp_path: Path) -> None:
    run(tmp_path / "a", {"x": None, "depths": [2, 2], "model._target_": "a.B", "flip": True}, "completed")
    _, rows = shown(tmp_path)
    assert rows["a"][0] == {"x": "null", "depths": "[2, 2]", "flip": True}
