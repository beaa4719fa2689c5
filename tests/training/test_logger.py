"""Tests of the loggers of a run, most of them with a logger that keeps what it gets."""

import errno
import os
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.runs.status import Status
from cnn_experiments.training.event_files import EventFileLogger
from cnn_experiments.training.logger import RunLogger, build_logger, check_loggers
from tests.conftest import compose_settings, read_results

OWN = "logger.own._target_=tests.training.test_logger.KeepingLogger"
SMALL = ("data.resize=16", "trainer.max_epochs=2", "trainer.limit_train_batches=2", "trainer.limit_test_batches=1")


class KeepingLogger(Logger):
    """Keep every call, and draw random numbers in each as careless loggers do."""

    calls: list[tuple[Any, ...]] = []  # noqa: RUF012 (of all, because a run builds its own)
    failing_call: str | None = None

    def __init__(self, save_dir: str | None = None, version: str | None = None) -> None:
        self._version = version
        self._keep("built", save_dir, version)

    def _keep(self, name: str, *values: Any) -> None:
        random.random()  # noqa: S311
        np.random.rand()  # noqa: NPY002
        torch.rand(1)
        if name == self.failing_call:
            raise ConnectionError("no network")
        self.calls.append((name, *values))

    @property
    def name(self) -> str:
        return "own"

    @property
    def version(self) -> str | None:
        return self._version or "run-7"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._keep("metrics", metrics, step)

    def log_hyperparams(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        self._keep("settings", params)

    def finalize(self, status: str) -> None:
        self._keep("end", status)


def make_number(save_dir: str | None = None) -> int:
    return 3


@pytest.fixture(autouse=True)
def _forget_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KeepingLogger, "calls", [])


def kept(name: str) -> list[tuple[Any, ...]]:
    return [values for call, *values in KeepingLogger.calls if call == name]


def test_logger_gets_settings_metrics_of_every_epoch_and_of_the_test_and_the_status(
    train: Callable[..., Path],
) -> None:
    run = train("run", *SMALL, "logger=none", f"+{OWN}", "+logger.own.save_dir=null", "optimizer.lr=0.02")
    assert kept("built") == [[str(run), None]]
    ((settings,),) = kept("settings")
    assert {key: settings[key] for key in ("model", "optimizer.lr", "seed", "protocol")} == {
        "model": "lenet",
        "optimizer.lr": 0.02,
        "seed": 0,
        "protocol": "holdout",
    }
    results = read_results(run)
    metrics = kept("metrics")
    assert [step for values, step in metrics if "val/acc" in values] == [1, 3]
    ((test_acc, step),) = [(values["test/acc"], step) for values, step in metrics if "test/acc" in values]
    assert (round(test_acc, 6), step) == (round(results["metrics"]["test/acc"], 6), 4)
    assert kept("end") == [["success"]]
    assert results["logger_versions"] == {"own": "run-7"}
    assert not list(run.glob("events.out.tfevents.*"))


@pytest.mark.parametrize("call", ["built", "settings", "metrics", "end", None])
def test_run_has_the_same_weights_with_a_logger_that_draws_or_fails(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str | None
) -> None:
    monkeypatch.setattr(KeepingLogger, "failing_call", call)
    runs = [train("without", *SMALL, "logger=none"), train("with", *SMALL, "logger=none", f"+{OWN}")]
    without, with_logger = (
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in runs
    )
    assert without.keys() == with_logger.keys()
    assert all(torch.equal(without[key], with_logger[key]) for key in without if key.startswith("model."))
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    line = "logger.own failed, and logs nothing from here on: ConnectionError: no network"
    assert [warning.partition(" (")[0] for warning in warnings] == ([line] if call else [])
    assert read_results(runs[1])["status"] == "completed"


def test_logger_of_a_resumed_run_gets_its_version_and_that_of_a_restarted_run_does_not(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (*SMALL, "logger=none", f"+{OWN}", "+logger.own.version=null")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for further in ((), ("restart=true",), ()):
        with monkeypatch.context() as patched:
            patched.setattr("cnn_experiments.tasks.train._TrainingRun._test", fail)
            with pytest.raises(RunFailedError, match="No space left on device"):
                train("run", *overrides, *further)
    assert kept("built") == [[None, None], [None, None], [None, "run-7"]]
    assert kept("end") == [["failed"]] * 3


def test_interrupted_run_is_aborted() -> None:
    RunLogger(Path("run"), {"own": KeepingLogger()}).log_end(Status.INTERRUPTED)
    assert kept("end") == [["aborted"]]


def test_full_disk_ends_the_event_files_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logger = RunLogger(tmp_path, {"tensorboard": EventFileLogger(str(tmp_path)), "own": KeepingLogger()})
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
    logger.log_end(Status.COMPLETED)
    assert [record.message.partition(" (")[0] for record in caplog.records] == [
        "logger.tensorboard failed, and logs nothing from here on: No space left on device"
    ]
    scalars = EventAccumulator(str(tmp_path)).Reload().Scalars("val/acc")  # which stops at an incomplete record
    assert [(event.step, event.value) for event in scalars] == [(7, 0.5)]
    assert [step for _, step in kept("metrics")] == [7, 14, 21]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["+logger.own._target_=cnn_experiments.models.LeNet"],
            "logger.own._target_=cnn_experiments.models.LeNet: must be a subclass of "
            "lightning.pytorch.loggers.logger.Logger, or a function that makes one",
        ),
        (
            [f"+{OWN}", "+logger.own.color=red"],
            "logger.own: KeepingLogger(): got an unexpected keyword argument 'color'",
        ),
        (
            ["+logger.own._target_=lightning.pytorch.loggers.CSVLogger"],
            "logger.own: CSVLogger(): missing a required argument: 'save_dir'",
        ),
    ],
)
def test_wrong_settings_of_a_logger_are_rejected_in_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_loggers(compose_settings(*overrides))
    assert str(error.value) == message


class IncompleteLogger(Logger):
    """Lacks what Lightning asks of a logger."""


def test_logger_without_its_methods_is_rejected_before_the_run() -> None:
    with pytest.raises(ConfigError) as error:
        check_loggers(compose_settings("+logger.own._target_=tests.training.test_logger.IncompleteLogger"))
    assert str(error.value) == (
        "logger.own._target_=tests.training.test_logger.IncompleteLogger: must define log_hyperparams, log_metrics, "
        "name, version"
    )


def test_function_that_makes_no_logger_is_rejected(tmp_path: Path) -> None:
    settings = compose_settings("+logger.own._target_=tests.training.test_logger.make_number")
    with pytest.raises(ConfigError, match=r"logger\.own\._target_=\S*: must make a Logger, not int"):
        build_logger(settings, tmp_path, {})


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_missing_package_of_a_logger_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError) as error:
        check_loggers(compose_settings(f"logger={name}"))
    assert str(error.value) == (
        f"logger={name}: needs the package {name}, which is not installed; "
        f'pip install "cnn_experiments[{name}]" installs it'
    )


def test_csv_files_are_in_the_run_directory_one_for_each_part(tmp_path: Path) -> None:
    for part in range(2):
        logger = build_logger(compose_settings("logger=csv"), tmp_path, {"csv": "0"})
        logger.log_start({"seed": 0})
        logger.log_metrics({"val/acc": 0.5}, step=part)
        logger.log_end(Status.COMPLETED)
    files = [tmp_path / "csv" / f"version_{part}" / "metrics.csv" for part in range(2)]
    assert [file.read_text() for file in files] == ["step,val/acc\n0,0.5\n", "step,val/acc\n1,0.5\n"]
    assert files[0].with_name("hparams.yaml").read_text() == "seed: 0\n"


def log_two_parts(directory: Path, logger: str) -> None:
    """Log a run that is interrupted after one epoch, and resumed."""
    settings = compose_settings(f"logger=[{logger}]", "tags=[paper]", "note=a test")
    versions: dict[str, str] = {}
    for epoch, status in enumerate((Status.INTERRUPTED, Status.COMPLETED)):
        run = build_logger(settings, directory, versions)
        run.log_start({"optimizer.lr": 0.1, "trainer.min_epochs": None})
        versions = run.versions()
        run.log_metrics({"val/acc": 0.5 + epoch}, step=10 * epoch + 4)
        run.log_metrics({"best/val/acc": 0.5 + epoch}, step=10 * epoch + 5)
        run.log_metrics({"train/loss": 2.0 - epoch}, step=10 * epoch + 4)
        run.log_end(status)
        assert run.loggers.keys() == {logger}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlflow_has_one_run_of_a_run_that_was_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    log_two_parts(tmp_path / "sweep" / "run", "mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("cnn_experiments")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("sweep/run", "FINISHED")
    assert run.data.params == {"optimizer.lr": "0.1", "trainer.min_epochs": "None"}
    assert (run.data.tags["paper"], run.data.tags["mlflow.note.content"]) == ("true", "a test")
    history = client.get_metric_history(run.info.run_id, "val/acc")
    assert [(metric.step, metric.value) for metric in history] == [(4, 0.5), (14, 1.5)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlflow_run_of_an_interrupted_run_is_killed(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    for status, expected in ((Status.INTERRUPTED, "KILLED"), (Status.FAILED, "FAILED")):
        logger = build_logger(compose_settings("logger=mlflow", f"logger.mlflow.tracking_uri={uri}"), tmp_path, {})
        run_id = logger.versions()["mlflow"]
        assert mlflow.MlflowClient(uri).get_run(run_id).info.status == "RUNNING"
        logger.log_end(status)
        assert mlflow.MlflowClient(uri).get_run(run_id).info.status == expected


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wandb_records_offline_one_run_of_a_run_that_was_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    directory = tmp_path / "sweep" / "run"
    directory.mkdir(parents=True)
    log_two_parts(directory, "wandb")
    first, second = (list(wandb_records(file)) for file in sorted(directory.glob("wandb/offline-run-*/*.wandb")))
    (run,) = [record.run for record in first if record.WhichOneof("record_type") == "run"]
    (resumed_run,) = [record.run for record in second if record.WhichOneof("record_type") == "run"]
    assert run.run_id == resumed_run.run_id
    assert (run.display_name, run.project, list(run.tags), run.notes) == (
        "sweep/run",
        "cnn_experiments",
        ["paper"],
        "a test",
    )
    assert [record.exit.exit_code for record in (*first, *second) if record.WhichOneof("record_type") == "exit"] == [
        1,
        0,
    ]
    assert any(record.WhichOneof("record_type") == "preempting" for record in first)
    settings = {
        (item.key or "/".join(item.nested_key)): item.value_json for record in first for item in record.config.update
    }
    assert settings["optimizer.lr"] == "0.1"
    metrics = [
        (
            record.history.step.num,
            {(item.key or "/".join(item.nested_key)): item.value_json for item in record.history.item},
        )
        for record in (*first, *second)
        if record.WhichOneof("record_type") == "history"
    ]
    assert [(step, values["val/acc"]) for step, values in metrics if "val/acc" in values] == [(4, "0.5"), (14, "1.5")]
    assert [(step, values["train/loss"]) for step, values in metrics if "train/loss" in values] == [
        (5, "2"),
        (15, "1"),
    ]


def wandb_records(path: Path) -> Iterator[Any]:
    """Yield the records of a .wandb file: a log of LevelDB after a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, parts = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        _, size, kind = struct.unpack("<IHB", content[place : place + 7])
        place += 7 + size
        parts += content[place - size : place]
        if kind in (1, 4):  # a whole record, or the last part of one
            yield Record.FromString(parts)
            parts = b""
