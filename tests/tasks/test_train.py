"""Whole runs on the digits, in this process."""

import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from cnn_experiments.errors import RunFailedError
from cnn_experiments.runs.directory import RunFolder, write_results
from cnn_experiments.runtime.signals import Interrupted, interruptible
from cnn_experiments.tasks.train import train as run_train
from cnn_experiments.training.callbacks import BestAndLast, Recorder
from tests.conftest import configured, epochs_of, results_of

Train = Callable[..., Path]

QUICK = (
    "optimizer.lr=0.01",
    "trainer.max_epochs=3",
    "trainer.limit_train_batches=20",
    "model=lenet_bn",
)
AUGMENTED = (*QUICK, "data.augment=crop_flip")
BOOK = ("data.val_size=0", "data.test_every_epoch=true")


def checkpoint(path: Path) -> dict[str, Any]:
    """Loads as anybody may: tensors and plain values alone."""
    loaded: dict[str, Any] = torch.load(path, weights_only=True)
    return loaded


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = checkpoint(one)["state_dict"], checkpoint(other)["state_dict"]
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def figures(folder: Path) -> list[dict[str, str]]:
    """metrics.csv without the speed."""
    return [{key: value for key, value in row.items() if "second" not in key} for row in epochs_of(folder)]


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def erratic_run(train: Train, figure: str, *overrides: str) -> Path:
    """One whose last epoch is not its best; which seeds make one depends on the machine's rounding."""
    for seed in range(8):
        folder = train(f"seed{seed}", *QUICK, "trainer.max_epochs=8", "optimizer.lr=0.05", f"seed={seed}", *overrides)
        accuracies = [float(row[figure]) for row in epochs_of(folder)]
        if accuracies.index(max(accuracies)) != len(accuracies) - 1:
            return folder
    pytest.fail("the last epoch is always the best: these runs can't tell the two apart")


def test_folder_of_a_run(train: Train) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    folder = train("run", *QUICK)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if "events" not in path.name} == {
        "checkpoints",
        ".lock",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "config.yaml",
        "metrics.csv",
        "results.json",
    }
    results = results_of(folder)
    assert results["status"] == "completed"
    assert results["protocol"] == "holdout"
    assert (results["model"], results["data"], results["seed"]) == ("lenet", "digits", 0)
    assert results["overrides"] == list(QUICK)
    assert before <= datetime.fromisoformat(results["started"]) <= datetime.now(UTC)
    assert results["epochs"] == 3
    assert (results["parameters"], results["multiply_adds"]) == (44_878, 281_640)
    assert results["precision"] == "32-true"
    assert results["device"].startswith("cpu (")
    assert results["error"] is None
    assert results["versions"]["torch"] == torch.__version__
    assert len(results["identity"]) == len(results["configuration"]) == 16
    assert results["processes"] == 1
    assert results["seconds"]["fit"] > 0 < results["seconds"]["test"]
    assert results["images_per_second"]["train"] > 0 < results["images_per_second"]["test"]
    assert 50e6 < results["peak_memory_bytes"] < 24e9
    metrics = results["metrics"]
    assert {
        "test/acc",
        "test/f1",
        "test/loss",
        "val/acc",
        "val/f1",
        "val/loss",
        "train/acc",
        "train/loss",
    } < set(metrics)
    assert sum(metrics[f"test/acc/{digit}"] > 0 for digit in range(10)) >= 5
    assert round(metrics["test/acc"] * 360, 3).is_integer()
    rows = epochs_of(folder)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["step"] for row in rows] == ["20", "40", "60"]


def test_the_best_epoch_is_the_one_that_is_kept_and_tested(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    tested = []
    original = pl.Trainer.test

    def spy(trainer: pl.Trainer, *arguments: Any, **settings: Any) -> Any:
        tested.append(Path(settings["ckpt_path"]))
        return original(trainer, *arguments, **settings)

    monkeypatch.setattr(pl.Trainer, "test", spy)
    folder = erratic_run(train, "val/acc")
    rows = epochs_of(folder)
    accuracies = [float(row["val/acc"]) for row in rows]
    best = accuracies.index(max(accuracies))
    assert tested[-1:] == [folder / "checkpoints" / "best.ckpt"]
    results = results_of(folder)
    assert results["tested_epoch"] == best + 1
    assert results["metrics"]["val/acc"] == accuracies[best]
    assert results["metrics"]["train/loss"] == float(rows[best]["train/loss"])
    assert checkpoint(folder / "checkpoints" / "best.ckpt")["global_step"] == (best + 1) * 20
    assert checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"] == len(rows) * 20


def test_with_nothing_held_out_the_last_epoch_is_tested(train: Train) -> None:
    folder = train("run", *QUICK, "data.val_size=0")
    results = results_of(folder)
    assert results["protocol"] == "last_epoch"
    assert results["tested_epoch"] == 3
    assert not any(name.startswith("val/") for name in results["metrics"])
    assert_same_weights(folder / "checkpoints" / "best.ckpt", folder / "checkpoints" / "last.ckpt")


def test_the_books_protocol_tests_every_epoch_and_reports_the_last(train: Train) -> None:
    folder = erratic_run(train, "test/acc", *BOOK)
    rows = epochs_of(folder)
    results = results_of(folder)
    assert results["protocol"] == "book"
    assert results["tested_epoch"] == len(rows) == 8
    accuracies = [float(row["test/acc"]) for row in rows]
    assert all(round(accuracy * 360, 3).is_integer() for accuracy in accuracies)
    for name in ("test/acc", "test/loss", "test/f1"):
        assert results["metrics"][name] == float(rows[-1][name])
    assert not any(name.startswith("val/") for name in results["metrics"] | rows[-1])
    assert_same_weights(folder / "checkpoints" / "best.ckpt", folder / "checkpoints" / "last.ckpt")
    shown = events(folder)
    start = HParamsPluginData.FromString(shown.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
    assert start.session_start_info.hparams["protocol"].string_value == "book"
    curve = [event.value for event in shown.Scalars("test/acc")]
    assert curve == pytest.approx([*accuracies, accuracies[-1]])  # and once more at the end


def test_looking_at_the_test_set_changes_no_step(train: Train) -> None:
    every = train("every", *AUGMENTED, *BOOK)
    once = train("once", *AUGMENTED, "data.val_size=0")
    assert_same_weights(every / "checkpoints" / "last.ckpt", once / "checkpoints" / "last.ckpt")
    assert results_of(every)["metrics"] == results_of(once)["metrics"]


def test_the_same_command_gives_the_same_weights_and_figures(train: Train) -> None:
    first, second = train("first", *AUGMENTED), train("second", *AUGMENTED)
    assert_same_weights(first / "checkpoints" / "last.ckpt", second / "checkpoints" / "last.ckpt")
    assert figures(first) == figures(second)
    assert results_of(first)["metrics"] == results_of(second)["metrics"]
    assert results_of(first)["identity"] == results_of(second)["identity"]


def test_another_seed_gives_another_result(train: Train) -> None:
    first, second = train("first", *QUICK), train("second", *QUICK, "seed=1")
    assert figures(first) != figures(second)
    assert results_of(first)["identity"] != results_of(second)["identity"]


@pytest.mark.parametrize("protocol", [(), BOOK], ids=["holdout", "book"])
def test_a_resumed_run_ends_as_an_undisturbed_one(
    train: Train, monkeypatch: pytest.MonkeyPatch, protocol: tuple[str, ...]
) -> None:
    long = (*AUGMENTED, *protocol, "trainer.max_epochs=6", "scheduler=cosine", "optimizer.lr=0.05")
    undisturbed = train("undisturbed", *long)

    written = BestAndLast.on_train_epoch_end

    def stop_after_four(self: BestAndLast, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        written(self, trainer, module)
        if trainer.current_epoch == 3:
            raise Interrupted(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(BestAndLast, "on_train_epoch_end", stop_after_four)
        with pytest.raises(Interrupted):
            train("interrupted", *long)
    interrupted = undisturbed.with_name("interrupted")
    assert results_of(interrupted)["status"] == "interrupted"
    assert results_of(interrupted)["error"] == "SIGTERM"
    assert results_of(interrupted)["epochs"] == 4

    resumed = train("resumed", *long, f"ckpt_path={interrupted}")
    for name in ("best.ckpt", "last.ckpt"):
        assert_same_weights(undisturbed / "checkpoints" / name, resumed / "checkpoints" / name)
    assert figures(resumed) == figures(undisturbed)
    assert results_of(resumed)["metrics"] == results_of(undisturbed)["metrics"]
    assert results_of(resumed)["tested_epoch"] == results_of(undisturbed)["tested_epoch"]


def test_resumes_exactly_in_the_middle_of_an_epoch(
    train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    undisturbed = train("undisturbed", *AUGMENTED)
    middle = tmp_path / "middle.ckpt"

    def save_in_the_middle(
        self: Recorder,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if trainer.global_step == 27:
            trainer.save_checkpoint(middle, weights_only=False)
            raise Interrupted(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "on_train_batch_end", save_in_the_middle)
        with pytest.raises(Interrupted):
            train("interrupted", *AUGMENTED)
    resumed = train("resumed", *AUGMENTED, f"ckpt_path={middle}")
    assert_same_weights(undisturbed / "checkpoints" / "last.ckpt", resumed / "checkpoints" / "last.ckpt")


@pytest.mark.parametrize("told", [7, 20, 27, 39, 40])
def test_a_signal_stops_a_run_behind_its_step_and_it_goes_on_in_its_folder(
    train: Train, monkeypatch: pytest.MonkeyPatch, told: int
) -> None:
    undisturbed = train("undisturbed", *AUGMENTED)

    def tell(self: Recorder, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == told:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched, interruptible():
        patched.setattr(Recorder, "on_train_batch_end", tell)
        with pytest.raises(Interrupted):
            train("interrupted", *AUGMENTED)
    folder = undisturbed.with_name("interrupted")
    assert (results_of(folder)["status"], results_of(folder)["error"]) == ("interrupted", "SIGTERM")
    assert results_of(folder)["epochs"] == told // 20
    assert checkpoint(folder / "checkpoints" / "last.ckpt")["global_step"] == told
    spent = results_of(folder)["seconds"]["fit"]
    assert spent > 0

    assert train("interrupted", *AUGMENTED) == folder
    for name in ("best.ckpt", "last.ckpt"):
        assert_same_weights(undisturbed / "checkpoints" / name, folder / "checkpoints" / name)
    assert figures(folder) == figures(undisturbed)
    for fact in ("status", "metrics", "tested_epoch", "epochs", "identity"):
        assert results_of(folder)[fact] == results_of(undisturbed)[fact]
    assert results_of(folder)["seconds"]["fit"] > spent
    before = (folder / "results.json").read_text()
    train("interrupted", *AUGMENTED)
    assert (folder / "results.json").read_text() == before


def test_killed_between_its_two_checkpoints_a_run_goes_on_exactly(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = train("undisturbed", *AUGMENTED)
    replace = Path.replace
    replaced = []

    def fail(path: Path, target: Path) -> Path:
        moved = replace(path, target)
        replaced.append(target.name)
        if replaced.count("best.ckpt") == 2:
            raise KeyboardInterrupt  # as good as any
        return moved

    folder = undisturbed.with_name("killed")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fail)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train("killed", *AUGMENTED)
    write_results(folder, results_of(folder) | {"status": "running"})
    train("killed", *AUGMENTED)
    for name in ("best.ckpt", "last.ckpt"):
        assert_same_weights(undisturbed / "checkpoints" / name, folder / "checkpoints" / name)
    assert figures(folder) == figures(undisturbed)
    assert results_of(folder)["metrics"] == results_of(undisturbed)["metrics"]


def test_a_signal_at_the_end_of_training_is_not_lost(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched, interruptible():
        patched.setattr(Recorder, "on_train_end", tell, raising=False)
        with pytest.raises(Interrupted):
            train("run", *QUICK)
    folder = train("run", *QUICK)
    assert (results_of(folder)["status"], results_of(folder)["epochs"]) == ("completed", 3)


def test_gradients_that_add_up_are_not_lost(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    summed = (*AUGMENTED, "trainer.accumulate_grad_batches=3")
    undisturbed = train("undisturbed", *summed)
    batches = []

    def tell(
        self: Recorder, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, idx: int
    ) -> None:
        batches.append(idx)
        if trainer.current_epoch == 1 and idx == 6:  # the first batch of the third step
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched, interruptible():
        patched.setattr(Recorder, "on_train_batch_end", tell)
        with pytest.raises(Interrupted):
            train("interrupted", *summed)
    assert batches[-1] == 8
    folder = train("interrupted", *summed)
    assert_same_weights(undisturbed / "checkpoints" / "last.ckpt", folder / "checkpoints" / "last.ckpt")
    assert figures(folder) == figures(undisturbed)


@pytest.mark.parametrize("batches", [20, 60])
def test_a_loss_that_is_not_finite_ends_the_run(train: Train, tmp_path: Path, batches: int) -> None:
    with pytest.raises(
        RunFailedError, match=r"not finite since step 2 \(epoch 1\); try a smaller optimizer.lr"
    ) as failure:
        train(
            "run",
            "optimizer=sgd",
            "optimizer.lr=1e38",
            "trainer.max_epochs=2",
            f"trainer.limit_train_batches={batches}",
        )
    results = results_of(tmp_path / "run")
    assert results["status"] == "failed"
    assert results["error"] == str(failure.value)
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


@pytest.mark.parametrize(
    ("held_out", "every_epoch", "found"),
    [(180, "false", "val/loss"), (0, "false", "test/loss"), (0, "true", "test/loss")],
)
def test_a_last_step_that_goes_astray_ends_the_run(
    train: Train, tmp_path: Path, held_out: int, every_epoch: str, found: str
) -> None:
    with pytest.raises(RunFailedError, match=f"{found} is not finite after step 1"):
        train(
            "run",
            "optimizer=sgd",
            "optimizer.lr=1e38",
            "trainer.max_epochs=1",
            "trainer.limit_train_batches=1",
            f"data.val_size={held_out}",
            f"data.test_every_epoch={every_epoch}",
        )
    assert results_of(tmp_path / "run")["status"] == "failed"


def test_two_runs_do_not_mix_in_a_folder(train: Train, tmp_path: Path) -> None:
    folder = train("run", *QUICK, "trainer.max_epochs=1")
    before = (folder / "results.json").read_text()
    with pytest.raises(RunFailedError, match="run holds another run"):
        run_train(configured("data=digits"), RunFolder(folder), {}, [])
    assert (folder / "results.json").read_text() == before


def test_an_unforeseen_error_is_recorded(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no memory\nleft")

    monkeypatch.setattr(Recorder, "on_train_epoch_end", fail)
    with pytest.raises(MemoryError):
        train("run", *QUICK)
    results = results_of(tmp_path / "run")
    assert (results["status"], results["error"]) == ("failed", "MemoryError: no memory left")


def test_dashboard_has_scalars_and_the_runs_row(train: Train) -> None:
    folder = train("run", *QUICK)
    shown = events(folder)
    scalars = set(shown.Tags()["scalars"])
    assert {"train/loss", "train/acc", "val/loss", "val/acc", "test/acc", "test/loss", "lr"} <= scalars
    assert "hp_metric" not in scalars
    assert [round(event.value, 6) for event in shown.Scalars("val/acc")] == [
        round(float(row["val/acc"]), 6) for row in epochs_of(folder)
    ]
    data = shown.SummaryMetadata
    content = {
        tag: HParamsPluginData.FromString(data(tag).plugin_data.content) for tag in shown.PluginTagToContent("hparams")
    }
    so_far = list(accumulate((event.value for event in shown.Scalars("val/acc")), max))
    assert [event.value for event in shown.Scalars("best/val/acc")] == pytest.approx(so_far, rel=1e-6)
    start = content["_hparams_/session_start_info"].session_start_info.hparams
    assert start["optimizer.lr"].number_value == 0.01
    assert start["model"].string_value == "lenet"
    assert start["trainer.gradient_clip_val"].string_value == "null"
    assert not {"ckpt_path", "optimizer._target_"} & set(start)
    assert content["_hparams_/session_end_info"].session_end_info.status == 1  # success


def test_a_failed_run_has_its_row_too(train: Train, tmp_path: Path) -> None:
    with pytest.raises(RunFailedError):
        train("run", "optimizer=sgd", "optimizer.lr=1e38", "trainer.max_epochs=1")
    shown = events(tmp_path / "run")
    metadata = shown.SummaryMetadata("_hparams_/session_end_info")
    assert HParamsPluginData.FromString(metadata.plugin_data.content).session_end_info.status == 2  # failure


def test_batch_norm_from_scratch_follows_torchs_training_curve(train: Train) -> None:
    curves = [figures(train(norm, *QUICK, f"model.norm={norm}")) for norm in ("batch", "scratch", "none")]
    torchs, ours, without = ([float(row["train/loss"]) for row in curve] for curve in curves)
    assert ours == pytest.approx(torchs, rel=5e-3)
    assert without != pytest.approx(torchs, rel=0.1)


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_other_precisions(train: Train, precision: str) -> None:
    folder = train("run", "trainer=smoke", "trainer.accelerator=cpu", f"trainer.precision={precision}")
    results = results_of(folder)
    assert (results["status"], results["precision"]) == ("completed", precision)
    weights = checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"].values()
    expected = {"64-true": torch.float64, "bf16-true": torch.bfloat16, "bf16-mixed": torch.float32}[precision]
    assert {weight.dtype for weight in weights} == {expected}


def test_densenet_trains_on_enlarged_digits(train: Train) -> None:
    folder = train(
        "run",
        "model=densenet",
        "data.resize=32",
        "trainer=smoke",
        "optimizer=adamw",
        "scheduler=onecycle",
        "label_smoothing=0.1",
    )
    assert results_of(folder)["parameters"] == 758_226
    assert results_of(folder)["status"] == "completed"
