"""Tests of complete runs on the digits, in this process."""

import errno
import io
import logging
import math
import os
import re
import shutil
import signal
import statistics
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import accumulate, count
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.data import Digits
from cnn_experiments.errors import RunFailedError
from cnn_experiments.runs.directory import RunDirectory
from cnn_experiments.runs.fingerprint import round_to_float32
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.state import RunState
from cnn_experiments.runs.status import Status
from cnn_experiments.runtime.signals import Interrupted, interruptible
from cnn_experiments.tasks.train import train as run_train
from cnn_experiments.training import execution
from cnn_experiments.training.build import build_classifier, build_data
from cnn_experiments.training.callbacks import BestAndLastCheckpoint, History, StopOnSignal
from cnn_experiments.training.classifier import Classifier
from cnn_experiments.training.execution import Execution
from tests.conftest import compose_settings, read_epochs, read_results, train_in

Train = Callable[..., Path]

STARTED = datetime.now(UTC).replace(microsecond=0)

QUICK = (
    "optimizer.lr=0.01",
    "trainer.max_epochs=3",
    "trainer.limit_train_batches=20",
    "model=lenet_bn",
)
SMALL = (
    "model=lenet_bn",
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "data.batch_size=2",
)
SHORT = (*QUICK, "trainer.max_epochs=1", "trainer.limit_train_batches=2")
AUGMENTED = (*QUICK, "augment=[crop,flip]")
BOOK = ("data.val_size=0", "data.test_every_epoch=true")


def unlearn_after_first_epoch(_: History, trainer: pl.Trainer, module: Any, *__: Any) -> None:
    """Zero the last layer at the end of every epoch but the first, so that the first is the best one."""
    if trainer.current_epoch > 0 and trainer.is_last_batch:
        for parameter in module.model.head[-1].parameters():
            parameter.data.zero_()


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a completed run, which no test may change."""
    return train_in(tmp_path_factory.mktemp("quick") / "run", *QUICK)


@pytest.fixture(scope="module")
def uninterrupted_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a completed run with random transforms, which no test may change."""
    return train_in(tmp_path_factory.mktemp("uninterrupted") / "run", *AUGMENTED)


@pytest.fixture(scope="module")
def run_with_best_epoch_first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a completed run of four epochs, which no test may change."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(History, "on_train_batch_end", unlearn_after_first_epoch)
        return train_in(tmp_path_factory.mktemp("best_first") / "run", *QUICK, "trainer.max_epochs=4")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint, which must contain tensors and plain values only."""
    checkpoint: dict[str, Any] = torch.load(path, weights_only=True)
    return checkpoint


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = load_checkpoint(one)["state_dict"], load_checkpoint(other)["state_dict"]
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def assert_same_checkpoints(one: Path, other: Path) -> None:
    for name in ("best.ckpt", "last.ckpt"):
        assert_same_weights(one / "checkpoints" / name, other / "checkpoints" / name)


def reproducible_rows(directory: Path) -> list[dict[str, str]]:
    """Return the rows of metrics.csv without the speed."""
    return [{key: value for key, value in row.items() if "second" not in key} for row in read_epochs(directory)]


def read_events(directory: Path) -> EventAccumulator:
    return EventAccumulator(str(directory)).Reload()


def send_signal_at_step(step: int) -> Callable[..., None]:
    """Return a hook that sends SIGTERM to this process after the given optimizer step."""

    def on_train_batch_end(_: History, trainer: pl.Trainer, *__: Any) -> None:
        if trainer.global_step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return on_train_batch_end


def test_files_of_a_run(quick_run: Path) -> None:
    assert {str(path.relative_to(quick_run)) for path in quick_run.rglob("*") if "events" not in path.name} == {
        "checkpoints",
        ".lock",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "config.yaml",
        "metrics.csv",
        "predictions.npz",
        "results.json",
    }


def test_results_of_a_run(quick_run: Path) -> None:
    results = read_results(quick_run)
    assert results["status"] == "completed"
    assert results["protocol"] == "holdout"
    assert (results["model"], results["data"], results["seed"]) == ("lenet_bn", "digits", 0)
    assert results["overrides"] == ["data=digits", "trainer=cpu", *QUICK]
    changed = results["changed_settings"]
    assert (changed["model"], changed["optimizer.lr"], changed["trainer.limit_train_batches"]) == ("lenet_bn", 0.01, 20)
    assert {key for key in changed if not key.startswith("data.")} == {
        "data", "trainer", "model", "model.norm", "optimizer.lr", "trainer.max_epochs", "trainer.limit_train_batches",
    }  # fmt: skip
    assert STARTED <= datetime.fromisoformat(results["started"]) <= datetime.now(UTC)
    assert results["epochs"] == 3
    assert (results["parameters"], results["multiply_adds"]) == (44_878, 281_640)
    assert results["precision"] == "32-true"
    assert results["memory_format"] in ("contiguous", "channels_last")
    assert results["threads"] == torch.get_num_threads()
    assert results["device"].startswith("cpu (")
    assert results["error"] is None
    assert results["versions"]["torch"] == torch.__version__
    assert len(results["identity"]) == len(results["configuration"]) == 16
    assert results["processes"] == 1
    assert results["seconds"]["fit"] > 0 < results["seconds"]["test"]
    assert results["images_per_second"]["train"] > 0 < results["images_per_second"]["test"]
    assert 50e6 < results["peak_memory_bytes"] < 24e9
    metrics = results["metrics"]
    assert set(metrics) == {
        "test/acc",
        "test/f1",
        "test/loss",
        "val/acc",
        "val/f1",
        "val/loss",
        "train/acc",
        "train/loss",
        *(f"test/acc/{digit}" for digit in range(10)),
    }
    assert sum(metrics[f"test/acc/{digit}"] > 0 for digit in range(10)) >= 5
    assert round(metrics["test/acc"] * 360, 3).is_integer()


def test_metrics_csv_has_a_row_for_each_epoch(quick_run: Path) -> None:
    rows = read_epochs(quick_run)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["step"] for row in rows] == ["20", "40", "60"]


def test_keys_in_checkpoints_do_not_depend_on_class_names(quick_run: Path) -> None:
    checkpoint = load_checkpoint(quick_run / "checkpoints" / "last.ckpt")
    assert {name: sorted(state) for name, state in checkpoint["callbacks"].items()} == {
        "RandomState": ["cuda", "numpy", "python", "torch"],
        "Throughput": ["train"],
        "Recorder": ["epochs", "fit_seconds", "settings"],
        "BestAndLast": ["best_score"],
    }
    assert {name: sorted(state) for name, state in checkpoint["train_metrics"].items()} == {
        "acc": ["fn", "fp", "tn", "tp"],
        "loss": ["images", "total"],
    }


def test_metric_of_the_configuration_is_reported_everywhere(train: Train, caplog: pytest.LogCaptureFixture) -> None:
    target = "++metrics.top10._target_=torchmetrics.classification.MulticlassAccuracy"
    with caplog.at_level(logging.INFO):
        run_directory = train("run", *SHORT, target, "++metrics.top10.top_k=10", "++metrics.top10.average=micro")
    results = read_results(run_directory)
    metrics = results["metrics"]
    assert (metrics["val/top10"], metrics["test/top10"], "train/top10" in metrics) == (1.0, 1.0, False)
    assert results["metric_info"] == {"top10": {"higher_is_better": True}}
    assert results["monitor"] == {"metric": "val/acc", "mode": "max"}
    (row,) = read_epochs(run_directory)
    assert row["val/top10"] == "1.0"
    assert {"val/top10", "test/top10"} <= set(read_events(run_directory).Tags()["scalars"])
    (line,) = (record.message for record in caplog.records if record.message.startswith("epoch "))
    keys = ["train/loss", "train/acc", "val/loss", "val/acc", "val/f1", "val/top10"]
    assert re.findall(r"(\w+/\w+) [\d.]+ ", line) == keys
    (line,) = (record.message for record in caplog.records if record.message.startswith("tested epoch "))
    assert "test/top10 1 " in line


def test_monitor_chooses_the_epoch_that_is_tested(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def exaggerate_then_unlearn(_: History, trainer: pl.Trainer, module: Any, *__: Any) -> None:
        if trainer.is_last_batch:  # the first epoch is accurate and very sure of its mistakes, the second ignorant
            for parameter in module.model.head[-1].parameters():
                parameter.data *= 100.0 if trainer.current_epoch == 0 else 0.0

    monkeypatch.setattr(History, "on_train_batch_end", exaggerate_then_unlearn)
    run_directory = train("run", *QUICK, "trainer.max_epochs=2", "monitor=val/loss")
    first, second = read_epochs(run_directory)
    assert float(first["val/acc"]) > float(second["val/acc"])
    assert float(first["val/loss"]) > float(second["val/loss"]) == pytest.approx(math.log(10), abs=1e-6)
    results = read_results(run_directory)
    assert (results["tested_epoch"], results["metrics"]["val/loss"]) == (2, float(second["val/loss"]))
    assert results["monitor"] == {"metric": "val/loss", "mode": "min"}
    events = read_events(run_directory)
    values = [event.value for event in events.Scalars("best/val/loss")]
    assert values == pytest.approx([float(first["val/loss"]), float(second["val/loss"])])
    assert load_checkpoint(run_directory / "checkpoints/best.ckpt")["epoch"] == 1


def test_best_epoch_is_kept_and_tested(run_with_best_epoch_first: Path) -> None:
    rows = read_epochs(run_with_best_epoch_first)
    accuracies = [float(row["val/acc"]) for row in rows]
    assert accuracies[0] > max(accuracies[1:])
    results = read_results(run_with_best_epoch_first)
    assert (results["epochs"], results["tested_epoch"]) == (4, 1)
    assert results["metrics"]["val/acc"] == accuracies[0]
    assert results["metrics"]["train/loss"] == float(rows[0]["train/loss"])
    checkpoints = run_with_best_epoch_first / "checkpoints"
    assert load_checkpoint(checkpoints / "best.ckpt")["global_step"] == 20
    assert load_checkpoint(checkpoints / "last.ckpt")["global_step"] == 80


def test_tested_epoch_is_that_of_the_checkpoint_if_an_earlier_best_one_was_deleted(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt = send_signal_at_step(45)

    def unlearn_and_interrupt(history: History, trainer: pl.Trainer, *arguments: Any) -> None:
        unlearn_after_first_epoch(history, trainer, *arguments)
        interrupt(history, trainer)

    monkeypatch.setattr(History, "on_train_batch_end", unlearn_and_interrupt)
    with interruptible(), pytest.raises(Interrupted):
        train("run", *QUICK)
    directory = RunDirectory(tmp_path / "run")
    directory.best.unlink()
    train("run", *QUICK)
    rows, results = read_epochs(directory.path), read_results(directory.path)
    assert float(rows[0]["val/acc"]) > float(rows[2]["val/acc"])
    assert results["tested_epoch"] == load_checkpoint(directory.best)["epoch"] + 1 == 3
    assert results["metrics"]["val/acc"] == float(rows[2]["val/acc"])


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint need to be provided")
def test_test_metrics_are_those_of_the_best_checkpoint(run_with_best_epoch_first: Path) -> None:
    settings = compose_settings("data=digits", "trainer=cpu", *QUICK)
    data = build_data(settings)
    classifier = build_classifier(settings, data)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    best = run_with_best_epoch_first / "checkpoints" / "best.ckpt"
    (metrics,) = trainer.test(classifier, data, ckpt_path=best, weights_only=True, verbose=False)
    results = read_results(run_with_best_epoch_first)["metrics"]
    assert {key: value for key, value in results.items() if key.startswith("test/")} == {
        key: round_to_float32(value) for key, value in metrics.items() if key.startswith("test/")
    }
    assert len(metrics) == 13


def test_seconds_are_written_with_every_epoch_and_continue_from_the_checkpoint(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def read_seconds(_: StopOnSignal, trainer: pl.Trainer, *__: Any) -> None:
        written.append(read_results(tmp_path / "run")["seconds"]["fit"])

    monkeypatch.setattr(StopOnSignal, "on_train_epoch_end", read_seconds)
    train("run", *QUICK, "trainer.limit_train_batches=4")
    assert 0 < written[0] < written[1] < written[2]
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    checkpoint = load_checkpoint(last)
    assert written[1] < checkpoint["callbacks"]["Recorder"]["fit_seconds"]
    assert checkpoint["callbacks"]["Recorder"]["fit_seconds"] == pytest.approx(written[2], abs=1)
    checkpoint["callbacks"]["Recorder"]["fit_seconds"] = 1000.0
    torch.save(checkpoint, last)
    resumed = train("resumed", *QUICK, "trainer.limit_train_batches=4", "trainer.max_epochs=4", f"ckpt_path={last}")
    assert 1000 < read_results(resumed)["seconds"]["fit"] < 1100


def test_seconds_of_a_checkpoint_of_an_earlier_version_are_those_of_its_run(train: Train) -> None:
    first = train("first", *QUICK, "trainer.max_epochs=1")
    results = RunResults.load(first)
    replace(results, seconds=results.seconds | {"fit": 1000.0}).save(first)
    last = first / "checkpoints" / "last.ckpt"
    checkpoint = load_checkpoint(last)
    del checkpoint["callbacks"]["Recorder"]["fit_seconds"]
    torch.save(checkpoint, last)
    resumed = train("resumed", *QUICK, "trainer.max_epochs=2", f"ckpt_path={first}")
    assert read_results(resumed)["epochs"] == 2
    assert 1000 < read_results(resumed)["seconds"]["fit"] < 1100


def test_test_split_is_evaluated_once(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    test = pl.Trainer.test

    def record_call(trainer: pl.Trainer, *arguments: Any, **settings: Any) -> Any:
        calls.append(settings)
        return test(trainer, *arguments, **settings)

    monkeypatch.setattr(pl.Trainer, "test", record_call)
    run_directory = train("run", *QUICK, "trainer.max_epochs=2")
    assert len(calls) == 1
    assert not any(key.startswith("test/") for row in read_epochs(run_directory) for key in row)


def test_training_speed_is_the_median_of_all_epochs_but_the_first(run_with_best_epoch_first: Path) -> None:
    speeds = [float(row["train/images_per_second"]) for row in read_epochs(run_with_best_epoch_first)]
    expected = statistics.median(speeds[1:])
    # metrics.csv has values that went through a float32
    assert read_results(run_with_best_epoch_first)["images_per_second"]["train"] == pytest.approx(expected, rel=1e-6)


def test_last_epoch_is_tested_if_there_is_no_validation_split(train: Train) -> None:
    run_directory = train("run", *QUICK, "data.val_size=0")
    results = read_results(run_directory)
    assert results["protocol"] == "last_epoch"
    assert results["tested_epoch"] == 3
    assert not any(key.startswith("val/") for key in results["metrics"])
    assert_same_weights(run_directory / "checkpoints" / "best.ckpt", run_directory / "checkpoints" / "last.ckpt")


def test_book_protocol_tests_every_epoch_and_reports_the_last(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(History, "on_train_batch_end", unlearn_after_first_epoch)
    run_directory = train("run", *QUICK, *BOOK)
    rows = read_epochs(run_directory)
    results = read_results(run_directory)
    assert results["protocol"] == "book"
    assert results["tested_epoch"] == len(rows) == 3
    accuracies = [float(row["test/acc"]) for row in rows]
    assert accuracies[0] > accuracies[-1]
    assert all(round(accuracy * 360, 3).is_integer() for accuracy in accuracies)
    for key in ("test/acc", "test/loss", "test/f1"):
        assert results["metrics"][key] == float(rows[-1][key])
    assert not any(key.startswith("val/") for key in results["metrics"] | rows[-1])
    assert_same_weights(run_directory / "checkpoints" / "best.ckpt", run_directory / "checkpoints" / "last.ckpt")
    events = read_events(run_directory)
    start = HParamsPluginData.FromString(events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
    assert start.session_start_info.hparams["protocol"].string_value == "book"
    curve = [event.value for event in events.Scalars("test/acc")]
    assert curve == pytest.approx([*accuracies, accuracies[-1]])  # the last one is that of the final test


def test_evaluating_the_test_split_does_not_change_the_training(train: Train) -> None:
    every_epoch = train("every_epoch", *AUGMENTED, *BOOK)
    at_the_end = train("at_the_end", *AUGMENTED, "data.val_size=0")
    assert_same_weights(every_epoch / "checkpoints" / "last.ckpt", at_the_end / "checkpoints" / "last.ckpt")
    assert read_results(every_epoch)["metrics"] == read_results(at_the_end)["metrics"]


def test_same_command_gives_the_same_weights_and_metrics(train: Train, uninterrupted_run: Path) -> None:
    repeated = train("repeated", *AUGMENTED)
    assert_same_checkpoints(repeated, uninterrupted_run)
    assert reproducible_rows(repeated) == reproducible_rows(uninterrupted_run)
    assert read_results(repeated)["metrics"] == read_results(uninterrupted_run)["metrics"]
    assert read_results(repeated)["identity"] == read_results(uninterrupted_run)["identity"]


def test_another_seed_gives_another_result(train: Train, quick_run: Path) -> None:
    other_seed = train("other_seed", *QUICK, "seed=1")
    assert reproducible_rows(other_seed) != reproducible_rows(quick_run)
    assert read_results(other_seed)["identity"] != read_results(quick_run)["identity"]


@pytest.mark.parametrize(("protocol", "tested_epoch"), [((), 1), (BOOK, 4)], ids=["holdout", "book"])
def test_run_resumed_in_another_directory_equals_an_uninterrupted_one(
    train: Train, monkeypatch: pytest.MonkeyPatch, protocol: tuple[str, ...], tested_epoch: int
) -> None:
    overrides = (*AUGMENTED, *protocol, "trainer.max_epochs=4", "scheduler=cosine", "optimizer.lr=0.05")
    monkeypatch.setattr(History, "on_train_batch_end", unlearn_after_first_epoch)
    uninterrupted = train("uninterrupted", *overrides)

    save_checkpoints = BestAndLastCheckpoint.on_train_epoch_end

    def interrupt_after_second_epoch(
        self: BestAndLastCheckpoint, trainer: pl.Trainer, module: pl.LightningModule
    ) -> None:
        save_checkpoints(self, trainer, module)
        if trainer.current_epoch == 1:
            raise Interrupted(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(BestAndLastCheckpoint, "on_train_epoch_end", interrupt_after_second_epoch)
        with pytest.raises(Interrupted):
            train("interrupted", *overrides)
    interrupted = uninterrupted.with_name("interrupted")
    assert read_results(interrupted)["status"] == "interrupted"
    assert read_results(interrupted)["signal"] == "SIGTERM"
    assert read_results(interrupted)["epochs"] == 2

    resumed = train("resumed", *overrides, f"ckpt_path={interrupted}")
    assert_same_checkpoints(resumed, uninterrupted)
    assert reproducible_rows(resumed) == reproducible_rows(uninterrupted)
    assert read_results(resumed)["metrics"] == read_results(uninterrupted)["metrics"]
    assert read_results(resumed)["tested_epoch"] == read_results(uninterrupted)["tested_epoch"] == tested_epoch


def test_resumed_run_has_the_memory_format_of_its_start(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        context.setattr(execution, "fastest", lambda _: Execution("channels_last", 1))
        first = train("first", *SHORT)
    assert read_results(first)["memory_format"] == "channels_last"
    monkeypatch.setattr(execution, "fastest", lambda _: pytest.fail("the format of a resumed run is chosen again"))
    longer = [*SHORT, "trainer.max_epochs=2", f"ckpt_path={first}"]
    assert read_results(train("second", *longer))["memory_format"] == "channels_last"
    typed = train("third", *longer, "memory_format=contiguous")
    assert read_results(typed)["memory_format"] == "contiguous"


def test_checkpoint_within_an_epoch_is_resumed_exactly(
    train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uninterrupted_run: Path
) -> None:
    checkpoint_path = tmp_path / "within_epoch.ckpt"

    def save_and_interrupt(_: History, trainer: pl.Trainer, *__: Any) -> None:
        if trainer.global_step == 27:
            trainer.save_checkpoint(checkpoint_path, weights_only=False)
            raise Interrupted(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(History, "on_train_batch_end", save_and_interrupt)
        with pytest.raises(Interrupted):
            train("interrupted", *AUGMENTED)
    resumed = train("resumed", *AUGMENTED, f"ckpt_path={checkpoint_path}")
    assert_same_weights(uninterrupted_run / "checkpoints" / "last.ckpt", resumed / "checkpoints" / "last.ckpt")


def test_every_second_epoch_and_the_last_one_are_evaluated(train: Train) -> None:
    run_directory = train("run", *QUICK, "trainer.max_epochs=5", "trainer.check_val_every_n_epoch=2")
    rows, results = read_epochs(run_directory), read_results(run_directory)
    assert [row["epoch"] for row in rows if row["val/acc"]] == ["2", "4", "5"]
    assert all(row["train/acc"] for row in rows)
    accuracies = {int(row["epoch"]): float(row["val/acc"]) for row in rows if row["val/acc"]}
    assert results["metrics"]["val/acc"] == max(accuracies.values())
    assert results["tested_epoch"] == max(accuracies, key=lambda epoch: (accuracies[epoch], -epoch))
    assert results["tested_epoch"] == load_checkpoint(run_directory / "checkpoints" / "best.ckpt")["epoch"] + 1
    points = [(event.step, round_to_float32(event.value)) for event in read_events(run_directory).Scalars("val/acc")]
    assert points == [(20 * epoch - 1, accuracy) for epoch, accuracy in accuracies.items()]


def test_leaving_evaluations_out_does_not_change_the_training(train: Train, uninterrupted_run: Path) -> None:
    run_directory = train("run", *AUGMENTED, "trainer.check_val_every_n_epoch=7")
    assert_same_weights(run_directory / "checkpoints" / "last.ckpt", uninterrupted_run / "checkpoints" / "last.ckpt")


def test_interrupted_run_without_an_evaluated_epoch_resumes_exactly(
    train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    overrides = (*AUGMENTED, "trainer.check_val_every_n_epoch=2")
    uninterrupted = train("uninterrupted", *overrides)
    for step in (20, 27):
        with monkeypatch.context() as patched, interruptible():
            patched.setattr(History, "on_train_batch_end", send_signal_at_step(step))
            with pytest.raises(Interrupted):
                train(f"run{step}", *overrides)
        assert read_results(tmp_path / f"run{step}")["metrics"].keys() == {"train/acc", "train/loss"}
        elsewhere = train(f"elsewhere{step}", *overrides, f"ckpt_path={tmp_path / f'run{step}'}")
        resumed = train(f"run{step}", *overrides)
        for run_directory in (resumed, elsewhere):
            assert_same_checkpoints(run_directory, uninterrupted)
            assert reproducible_rows(run_directory) == reproducible_rows(uninterrupted)


@pytest.fixture(scope="module")
def run_of_27_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a completed run that ends within its second epoch, which no test may change."""
    return train_in(tmp_path_factory.mktemp("steps") / "run", *AUGMENTED, "trainer.max_steps=27", "scheduler=cosine")


def test_training_ends_after_its_steps_within_an_epoch(run_of_27_steps: Path) -> None:
    rows, results = read_epochs(run_of_27_steps), read_results(run_of_27_steps)
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "20"), ("2", "27")]
    assert all(row["val/acc"] for row in rows)
    assert float(rows[-1]["lr"]) == pytest.approx(0.0, abs=1e-9)  # the schedule ends with the steps
    assert (results["status"], results["epochs"]) == ("completed", 2)
    assert load_checkpoint(run_of_27_steps / "checkpoints" / "last.ckpt")["global_step"] == 27


@pytest.mark.parametrize("step", [7, 20, 26, 27])
def test_run_with_a_number_of_steps_resumes_exactly(
    train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run_of_27_steps: Path, step: int
) -> None:
    overrides = (*AUGMENTED, "trainer.max_steps=27", "scheduler=cosine")
    with monkeypatch.context() as patched, interruptible():
        patched.setattr(History, "on_train_batch_end", send_signal_at_step(step))
        with pytest.raises(Interrupted):
            train("run", *overrides)
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == step
    resumed = train("run", *overrides)
    assert_same_checkpoints(resumed, run_of_27_steps)
    assert reproducible_rows(resumed) == reproducible_rows(run_of_27_steps)
    assert read_results(resumed)["metrics"] == read_results(run_of_27_steps)["metrics"]


def test_time_ends_training_after_a_step_but_not_before_the_least_number_of_epochs(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = (*QUICK, "trainer.max_time='00:00:00:07'")
    make_every_step_last_a_second(monkeypatch)
    rows = read_epochs(train("at_once", *limited))
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "7")]
    assert rows[0]["val/acc"]
    make_every_step_last_a_second(monkeypatch)
    rows = read_epochs(train("not_before", *limited, "trainer.min_epochs=2"))
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "20"), ("2", "40")]


def make_every_step_last_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock of a run that starts now count its steps."""
    training_step, steps = Classifier.training_step, count(1)
    seconds = [0]

    def step(classifier: Classifier, batch: Any, batch_idx: int) -> Any:
        seconds[0] = next(steps)
        return training_step(classifier, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", step)
    monkeypatch.setattr(History, "fit_seconds", property(lambda _: seconds[0]))


def test_run_that_ended_by_its_steps_goes_on_with_more_of_them(train: Train) -> None:
    short = train("short", *QUICK, "trainer.max_epochs=9", "trainer.max_steps=30")
    longer = train("longer", *QUICK, "trainer.max_epochs=9", "trainer.max_steps=50", f"ckpt_path={short}")
    assert [(row["epoch"], row["step"]) for row in read_epochs(short)] == [("1", "20"), ("2", "30")]
    assert [row["step"] for row in read_epochs(longer)] == ["20", "30", "50"]


@pytest.mark.parametrize("step", [7, 20, 27, 39, 40])
def test_signal_stops_a_run_after_its_step_and_the_run_resumes_in_its_directory(
    train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uninterrupted_run: Path, step: int
) -> None:
    run_directory = tmp_path / "run"
    with monkeypatch.context() as patched, interruptible():
        patched.setattr(History, "on_train_batch_end", send_signal_at_step(step))
        with pytest.raises(Interrupted):
            train("run", *AUGMENTED)
    results = read_results(run_directory)
    assert (results["status"], results["signal"]) == ("interrupted", "SIGTERM")
    assert results["epochs"] == step // 20
    assert load_checkpoint(run_directory / "checkpoints" / "last.ckpt")["global_step"] == step
    seconds_until_signal = results["seconds"]["fit"]
    assert seconds_until_signal > 0

    train("run", *AUGMENTED)
    assert_same_checkpoints(run_directory, uninterrupted_run)
    assert reproducible_rows(run_directory) == reproducible_rows(uninterrupted_run)
    results, expected_results = read_results(run_directory), read_results(uninterrupted_run)
    for key in ("status", "metrics", "tested_epoch", "epochs", "identity"):
        assert results[key] == expected_results[key]
    assert results["seconds"]["fit"] > seconds_until_signal


def test_completed_run_is_not_repeated(train: Train) -> None:
    overrides = (*QUICK, "trainer.max_epochs=1")
    run_directory = train("run", *overrides)
    before = (run_directory / "results.json").read_text()
    train("run", *overrides)
    assert (run_directory / "results.json").read_text() == before


def test_run_killed_between_its_two_checkpoints_resumes_exactly(
    train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uninterrupted_run: Path
) -> None:
    run_directory = tmp_path / "run"
    replace_file = Path.replace
    replaced_files = []

    def replace_and_die(path: Path, target: Path) -> Path:
        new_path = replace_file(path, target)
        replaced_files.append(target.name)
        if replaced_files.count("best.ckpt") == 2:
            raise KeyboardInterrupt  # any exception that is not handled would do
        return new_path

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace_and_die)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train("run", *AUGMENTED)
    replace(RunResults.load(run_directory), status=Status.RUNNING).save(run_directory)
    train("run", *AUGMENTED)
    assert_same_checkpoints(run_directory, uninterrupted_run)
    assert reproducible_rows(run_directory) == reproducible_rows(uninterrupted_run)
    assert read_results(run_directory)["metrics"] == read_results(uninterrupted_run)["metrics"]


def test_signal_at_the_end_of_training_is_not_lost(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def send_signal(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    overrides = (*QUICK, "trainer.max_epochs=2")
    with monkeypatch.context() as patched, interruptible():
        patched.setattr(History, "on_train_end", send_signal)
        with pytest.raises(Interrupted):
            train("run", *overrides)
    run_directory = train("run", *overrides)
    assert (read_results(run_directory)["status"], read_results(run_directory)["epochs"]) == ("completed", 2)


def test_signal_during_a_failure_interrupts_the_run(
    train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def send_signal_and_fail(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise RunFailedError("the loss became NaN")

    monkeypatch.setattr(History, "on_train_batch_end", send_signal_and_fail)
    with interruptible(), pytest.raises(Interrupted):
        train("run", *QUICK)
    results = read_results(tmp_path / "run")
    assert (results["status"], results["signal"]) == ("interrupted", "SIGTERM")


def test_signal_does_not_interrupt_gradient_accumulation(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = (*AUGMENTED, "trainer.accumulate_grad_batches=3", "trainer.max_epochs=2")
    uninterrupted = train("uninterrupted", *overrides)
    batches = []

    def send_signal_in_third_step(_: History, trainer: pl.Trainer, *hook_arguments: Any) -> None:
        batches.append(hook_arguments[-1])
        if trainer.current_epoch == 1 and batches[-1] == 6:  # the first batch of the third step
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched, interruptible():
        patched.setattr(History, "on_train_batch_end", send_signal_in_third_step)
        with pytest.raises(Interrupted):
            train("interrupted", *overrides)
    assert batches[-1] == 8
    resumed = train("interrupted", *overrides)
    assert_same_weights(uninterrupted / "checkpoints" / "last.ckpt", resumed / "checkpoints" / "last.ckpt")
    assert reproducible_rows(resumed) == reproducible_rows(uninterrupted)


@pytest.mark.parametrize("num_batches", [20, 60])
def test_non_finite_loss_fails_the_run(train: Train, tmp_path: Path, num_batches: int) -> None:
    message = r"^the loss became NaN or infinite at step 2 \(epoch 1\); try a smaller optimizer.lr"
    with pytest.raises(RunFailedError, match=message) as failure:
        train(
            "run",
            "optimizer=sgd",
            "optimizer.lr=1e38",
            "trainer.max_epochs=2",
            f"trainer.limit_train_batches={num_batches}",
        )
    results = read_results(tmp_path / "run")
    assert results["status"] == "failed"
    assert results["error"] == str(failure.value)
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    end = read_events(tmp_path / "run").SummaryMetadata("_hparams_/session_end_info").plugin_data.content
    assert HParamsPluginData.FromString(end).session_end_info.status == 2  # failure


@pytest.mark.parametrize(
    ("val_size", "test_every_epoch", "key"),
    [(180, "false", "val/loss"), (0, "false", "test/loss"), (0, "true", "test/loss")],
)
def test_last_step_that_makes_the_loss_non_finite_fails_the_run(
    train: Train, tmp_path: Path, val_size: int, test_every_epoch: str, key: str
) -> None:
    with pytest.raises(RunFailedError, match=f"^{key} is NaN or infinite after step 1; "):
        train(
            "run",
            "optimizer=sgd",
            "optimizer.lr=1e38",
            "trainer.max_epochs=1",
            "trainer.limit_train_batches=1",
            f"data.val_size={val_size}",
            f"data.test_every_epoch={test_every_epoch}",
        )
    assert read_results(tmp_path / "run")["status"] == "failed"


def test_run_does_not_write_into_the_directory_of_another_run(quick_run: Path) -> None:
    before = (quick_run / "results.json").read_text()
    with pytest.raises(RunFailedError, match="run: it holds another run"):
        run_train([ComposedConfig.from_overrides("data=digits")], RunDirectory(quick_run))
    assert (quick_run / "results.json").read_text() == before


@pytest.mark.parametrize(
    ("error", "line", "hint"),
    [
        (
            MemoryError("no memory\nleft"),
            "out of memory",
            r"; the same command with hydra\.run\.dir=\S+ starts the run",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "metrics.csv"),
            "No space left on device: metrics.csv",
            r"; the same command with hydra\.run\.dir=\S+ starts the run",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has\na total capacity"),
            "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity",
            r"; the same command with hydra\.run\.dir=\S+ starts the run",
        ),
        (ValueError("a\nbug"), "ValueError: a bug", r" \(test_train\.py:\d+\); the traceback is in \S+run\.log"),
        (SystemExit(1), "SystemExit: 1", r" \(test_train\.py:\d+\); the traceback is in \S+run\.log"),
    ],
    ids=["memory", "disk", "cuda", "bug", "exit"],
)
def test_error_is_one_line_and_its_traceback_is_in_the_log(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, line: str, hint: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(History, "on_train_epoch_end", fail)
    with pytest.raises(RunFailedError) as failure:
        train("run", *QUICK)
    assert re.fullmatch(re.escape(line) + hint, str(failure.value))
    results = read_results(tmp_path / "run")
    assert (results["status"], results["error"]) == ("failed", line)
    log = (tmp_path / "run" / "run.log").read_text()
    assert log.startswith("Traceback (most recent call last):\n")
    assert log.count("Traceback") == 1


def interrupt_at_step(monkeypatch: pytest.MonkeyPatch, step: int, train: Train, *overrides: str) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(History, "on_train_batch_end", send_signal_at_step(step))
        with interruptible(), pytest.raises(Interrupted):
            train("run", *overrides)


def test_interrupted_run_that_cannot_continue_stays_interrupted_and_continues_later(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted_run: Path
) -> None:
    def fail(*_: object) -> None:
        raise RunFailedError("could not download")

    interrupt_at_step(monkeypatch, 47, train, *AUGMENTED)
    with monkeypatch.context() as patched:
        patched.setattr(Digits, "prepare_data", fail)
        with pytest.raises(RunFailedError, match=r"^could not download$"):
            train("run", *AUGMENTED)
    results = read_results(tmp_path / "run")
    stored = (results["status"], results["signal"], results["error"], results["epochs"])
    assert stored == ("interrupted", "SIGTERM", "could not download", 2)
    train("run", *AUGMENTED)
    assert_same_checkpoints(tmp_path / "run", uninterrupted_run)
    assert reproducible_rows(tmp_path / "run") == reproducible_rows(uninterrupted_run)
    assert read_results(tmp_path / "run")["error"] is None


def test_failed_run_continues_also_from_its_own_checkpoint_by_name(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted_run: Path
) -> None:
    def fail_at_step(_: History, trainer: pl.Trainer, *__: Any) -> None:
        if trainer.global_step == 47:
            raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(History, "on_train_batch_end", fail_at_step)
        with pytest.raises(RunFailedError, match=r"^ZeroDivisionError"):
            train("run", *AUGMENTED)
    run = tmp_path / "run"
    assert read_results(run)["status"] == "failed"
    last, best = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "best.ckpt"
    before = last.read_bytes()
    for overrides, line in (
        (["restart=true", f"ckpt_path={run}"], "can't be combined with restart=true"),
        ([f"ckpt_path={best}"], "this run would overwrite it; without ckpt_path"),
    ):
        with pytest.raises(RunFailedError, match=line):
            train("run", *AUGMENTED, *overrides)
    assert last.read_bytes() == before
    assert load_checkpoint(last)["global_step"] == 40
    train("run", *AUGMENTED, f"ckpt_path={run}")
    assert_same_checkpoints(run, uninterrupted_run)
    assert reproducible_rows(run) == reproducible_rows(uninterrupted_run)


def test_damaged_last_checkpoint_is_put_aside_and_the_run_continues_from_the_best_epoch(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted_run: Path
) -> None:
    interrupt_at_step(monkeypatch, 47, train, *AUGMENTED)
    checkpoints = tmp_path / "run" / "checkpoints"
    content = (checkpoints / "last.ckpt").read_bytes()
    (checkpoints / "last.ckpt").write_bytes(content[: len(content) // 2])
    train("run", *AUGMENTED)
    assert (checkpoints / "attempt-1" / "last.ckpt").read_bytes() == content[: len(content) // 2]
    assert_same_checkpoints(tmp_path / "run", uninterrupted_run)
    assert reproducible_rows(tmp_path / "run") == reproducible_rows(uninterrupted_run)


def damage(checkpoint: Path) -> bytes:
    """Change a bit in the middle of a checkpoint, and return its bytes."""
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    return bytes(content)


@pytest.mark.parametrize(("step", "tested_epoch"), [(6, 2), (12, 3)])
def test_damaged_best_checkpoint_is_put_aside_before_the_run_continues(
    train: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: int,
    tested_epoch: int,
) -> None:
    overrides = (*QUICK, "trainer.limit_train_batches=4")
    interrupt_at_step(monkeypatch, step, train, *overrides)
    checkpoints = tmp_path / "run" / "checkpoints"
    best = checkpoints / "best.ckpt"
    content = best.read_bytes()
    best.unlink()  # it may be the same file as last.ckpt
    best.write_bytes(content)
    damaged = damage(best)
    train("run", *overrides)
    assert (checkpoints / "attempt-1" / "best.ckpt").read_bytes() == damaged
    assert f"{best}: damaged: wrong checksum of" in caplog.text
    results = read_results(tmp_path / "run")
    assert (results["status"], results["epochs"], results["tested_epoch"]) == ("completed", 3, tested_epoch)


def test_run_with_two_damaged_checkpoints_is_started_over_only_if_it_is_asked_for(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("best.ckpt", "last.ckpt")
    overrides = (*QUICK, "trainer.limit_train_batches=4")
    interrupt_at_step(monkeypatch, 6, train, *overrides)
    checkpoints = tmp_path / "run" / "checkpoints"
    for name in names:
        damage(checkpoints / name)
    before = {path.name: path.read_bytes() for path in checkpoints.iterdir()}
    with pytest.raises(RunFailedError) as failure:
        train("run", *overrides)
    assert str(failure.value).startswith(f"{checkpoints / names[-1]}: damaged: wrong checksum of ")
    assert str(failure.value).endswith("; restart=true puts the checkpoints aside and starts over")
    assert {path.name: path.read_bytes() for path in checkpoints.iterdir()} == before
    assert read_results(tmp_path / "run")["status"] == "interrupted"
    train("run", *overrides, "restart=true")
    results = read_results(tmp_path / "run")
    assert (results["status"], results["overrides"][-1]) == ("completed", "trainer.limit_train_batches=4")
    assert {path.name: path.read_bytes() for path in (checkpoints / "attempt-1").glob("*.ckpt")} == before


def test_full_disk_at_any_write_loses_nothing(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each file fails once when it is first written, and the checkpoint and the results also when they are last."""
    overrides = SMALL
    expected = train("expected", *overrides)
    opened: list[str] = []
    failing = -1

    def open_or_fail(path: Any, flags: int, *arguments: Any, **keywords: Any) -> int:
        if flags & os.O_WRONLY and str(path).startswith(str(tmp_path / "run")):
            opened.append(Path(path).name)
            if len(opened) - 1 == failing:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real_open(path, flags, *arguments, **keywords)

    real_open = os.open
    monkeypatch.setattr(os, "open", open_or_fail)
    failing = -1
    train("run", *overrides)
    writes = {opened.index(name) for name in opened}
    writes |= {len(opened) - 1 - opened[::-1].index(name) for name in ("last.writing", "results.json.writing")}
    for name in {"results.json.writing", "metrics.csv.writing", "config.yaml.writing", "last.writing"}:
        assert name in opened
    statuses = []
    for number in sorted(writes):
        shutil.rmtree(tmp_path / "run")
        opened.clear()
        failing = number
        with suppress(RunFailedError):
            train("run", *overrides)
        failing = -1
        statuses.append(RunState.read(tmp_path / "run").status)
        if statuses[-1] == Status.FAILED:
            assert read_results(tmp_path / "run")["error"].startswith("No space left on device: ")
        assert [path.name for path in (tmp_path / "run").rglob("*.writing")] == []
        if statuses[-1] != Status.COMPLETED:
            train("run", *overrides)
        assert_same_checkpoints(tmp_path / "run", expected)
        assert reproducible_rows(tmp_path / "run") == reproducible_rows(expected)
    assert set(statuses) == {Status.NEW, Status.FAILED, Status.COMPLETED, Status.INTERRUPTED}


def test_read_error_while_resuming_does_not_lose_the_saved_epochs(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resume with an input/output error at each file operation that comes before the first step, one after the other.

    If the checkpoints are the same afterwards, the next attempt has all that it needs; else it shows that it has.
    """
    expected = train("expected", *SMALL)
    interrupt_at_step(monkeypatch, 3, train, *SMALL)
    run, saved = tmp_path / "run", tmp_path / "saved"
    shutil.copytree(run, saved)
    checkpoints = read_checkpoints(saved)
    config = ComposedConfig.from_overrides("data=digits", "trainer=cpu", *SMALL)
    num_operations, failing, num_before_first_step = 0, -1, 0

    def with_error(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **keywords: Any) -> Any:
            nonlocal num_operations
            if isinstance(path, str | Path) and str(path).startswith(str(run)):
                num_operations += 1
                if num_operations - 1 == failing:
                    raise OSError(errno.EIO, "Input/output error", str(path))
            return function(path, *arguments, **keywords)

        return call

    def count_operations(*_: Any) -> None:
        nonlocal num_before_first_step
        num_before_first_step = num_before_first_step or num_operations

    monkeypatch.setattr(History, "on_train_batch_end", count_operations)
    for name in ("open", "stat", "lstat", "rename", "replace", "unlink", "mkdir", "link", "scandir", "listdir"):
        monkeypatch.setattr(os, name, with_error(getattr(os, name)))
    monkeypatch.setattr(io, "open", with_error(open))
    run_train([config], RunDirectory(run))
    assert num_before_first_step > 30
    for number in range(num_before_first_step):
        shutil.rmtree(run)
        shutil.copytree(saved, run)
        num_operations, failing = 0, number
        failure = ""
        try:
            run_train([config], RunDirectory(run))
        except RunFailedError as error:
            failure = str(error)
        failing = -1
        assert "\n" not in failure
        state = RunState.read(run)
        if failure:
            assert read_checkpoints(run) == checkpoints
            assert state.status == Status.INTERRUPTED
        else:
            assert state.status == Status.COMPLETED
            assert_same_checkpoints(run, expected)
            assert reproducible_rows(run) == reproducible_rows(expected)


def read_checkpoints(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "checkpoints").iterdir()}


def test_tensorboard_has_the_scalars_and_the_row_of_a_run(quick_run: Path) -> None:
    events = read_events(quick_run)
    scalars = set(events.Tags()["scalars"])
    assert {"train/loss", "train/acc", "val/loss", "val/acc", "test/acc", "test/loss", "lr"} <= scalars
    assert "hp_metric" not in scalars
    accuracies = [event.value for event in events.Scalars("val/acc")]
    assert [round(accuracy, 6) for accuracy in accuracies] == [
        round(float(row["val/acc"]), 6) for row in read_epochs(quick_run)
    ]
    best_so_far = list(accumulate(accuracies, max))
    assert [event.value for event in events.Scalars("best/val/acc")] == pytest.approx(best_so_far, rel=1e-6)
    rows = {
        tag: HParamsPluginData.FromString(events.SummaryMetadata(tag).plugin_data.content)
        for tag in events.PluginTagToContent("hparams")
    }
    settings = rows["_hparams_/session_start_info"].session_start_info.hparams
    assert settings["optimizer.lr"].number_value == 0.01
    assert settings["model"].string_value == "lenet_bn"
    assert settings["trainer.gradient_clip_val"].string_value == "null"
    assert not {"ckpt_path", "optimizer._target_"} & set(settings)
    assert rows["_hparams_/session_end_info"].session_end_info.status == 1  # success


def test_batch_norm_from_scratch_follows_torchs_training_curve(train: Train, quick_run: Path) -> None:
    runs = (quick_run, *(train(norm, *QUICK, f"model.norm={norm}") for norm in ("scratch", "none")))
    torch_curve, scratch_curve, curve_without_norm = (
        [float(row["train/loss"]) for row in read_epochs(run_directory)] for run_directory in runs
    )
    assert scratch_curve == pytest.approx(torch_curve, rel=5e-3)
    assert curve_without_norm != pytest.approx(torch_curve, rel=0.1)


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_network_trains_in_other_precisions(train: Train, precision: str) -> None:
    run_directory = train("run", "trainer=smoke", "trainer.accelerator=cpu", f"trainer.precision={precision}")
    results = read_results(run_directory)
    assert (results["status"], results["precision"]) == ("completed", precision)
    weights = load_checkpoint(run_directory / "checkpoints" / "last.ckpt")["state_dict"].values()
    expected = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "bf16-mixed": torch.float32}[precision]
    assert {weight.dtype for weight in weights} == {expected}


def test_densenet_trains_on_enlarged_digits(train: Train) -> None:
    run_directory = train(
        "run",
        "model=densenet",
        "data.resize=32",
        "trainer=smoke",
        "optimizer=adamw",
        "scheduler=onecycle",
        "loss.label_smoothing=0.1",
    )
    assert read_results(run_directory)["parameters"] == 758_226
    assert read_results(run_directory)["status"] == "completed"
