"""Tests of complete runs with the callbacks of the configuration, on the digits and in this process."""

import json
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from torch.optim.swa_utils import update_bn

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.sources import CONF, find_options
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.status import Status
from cnn_experiments.runtime.signals import Interrupted, interruptible
from cnn_experiments.tasks.evaluate import evaluate
from cnn_experiments.training.build import build_callbacks, build_classifier, build_data
from cnn_experiments.training.callbacks import EarlyStopping, History
from cnn_experiments.training.callbacks.weight_average import WEIGHT_AVERAGE_KEY
from cnn_experiments.training.preflight import check_training
from tests.conftest import compose_settings, read_epochs, read_results

Train = Callable[..., Path]

OPTIONS = sorted(set(find_options("callbacks", [CONF])) - {"none"})
QUICK = (
    "model=lenet_bn",
    "optimizer.lr=0.01",
    "trainer.max_epochs=3",
    "trainer.limit_train_batches=6",
    "trainer.limit_val_batches=2",
    "trainer.limit_test_batches=2",
    "augment=crop",
)
SETTINGS: dict[str, tuple[str, ...]] = {
    # The second epoch does not improve by so much, which is known only with what was counted in the first.
    "early_stopping": ("callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=0.9"),
    "swa": ("callbacks.swa.start=1",),
    "device_stats": ("callbacks.device_stats.every_n_steps=1",),
    "profiler": ("callbacks.profiler.skip=1", "callbacks.profiler.num_batches=2"),
}


class StopAfterStep(pl.Callback):
    """Ends the training after a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self._step:
            trainer.should_stop = True


class StopAtStartOfEpoch(pl.Callback):
    """Ends the training before the first step of its second epoch."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch == 1


class Failing(pl.Callback):
    """Fails in the middle of an epoch."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == 2:
            raise RuntimeError("out of coffee")


class Drawing(pl.Callback):
    """Draws a random number when a training starts, also when it is resumed."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        torch.rand(1)


class CountingSteps(pl.Callback):
    """Has a state."""

    def __init__(self) -> None:
        self.num_steps = 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.num_steps += 1

    def state_dict(self) -> dict[str, Any]:
        return {"num_steps": self.num_steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.num_steps = state_dict["num_steps"]


class WithObjectAsState(pl.Callback):
    """Has a state that no checkpoint can be loaded with."""

    def state_dict(self) -> dict[str, Any]:
        return {"object": Path()}


def own(callback: type, *settings: str, name: str = "own") -> tuple[str, ...]:
    """Return the overrides that add a callback of one's own."""
    return (
        f"++callbacks.{name}._target_={__name__}.{callback.__name__}",
        *(f"++callbacks.{name}.{s}" for s in settings),
    )


def load_checkpoint(run: Path, name: str = "last.ckpt") -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(run / "checkpoints" / name, weights_only=True)
    return checkpoint


def reproducible_rows(directory: Path) -> list[dict[str, str]]:
    """Return the rows of metrics.csv without the speed."""
    return [{key: value for key, value in row.items() if "second" not in key} for row in read_epochs(directory)]


def assert_equal(one: Any, other: Any) -> None:
    """Compare values with tensors in them, bit by bit."""
    if isinstance(one, Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for item, other_item in zip(one, other, strict=True):
            assert_equal(item, other_item)
    else:
        assert one == other


def assert_same_runs(one: Path, other: Path) -> None:
    for name in ("best.ckpt", "last.ckpt"):
        first, second = load_checkpoint(one, name), load_checkpoint(other, name)
        for key in ("state_dict", "optimizer_states", "lr_schedulers", WEIGHT_AVERAGE_KEY):
            assert_equal(first.get(key), second.get(key))
        for key in first["callbacks"].keys() - {"Recorder", "Throughput"}:
            assert_equal(first["callbacks"][key], second["callbacks"][key])
    assert reproducible_rows(one) == reproducible_rows(other)
    results, other_results = read_results(one), read_results(other)
    for key in ("status", "epochs", "stopped_early", "tested_epoch", "metrics", "identity"):
        assert results[key] == other_results[key]
    assert results["status"] == "completed"


def interrupt_at_step(step: int) -> Callable[..., None]:
    """Return a hook that sends SIGTERM to this process after the given optimizer step."""

    def on_train_batch_end(_: History, trainer: pl.Trainer, *__: Any) -> None:
        if trainer.global_step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return on_train_batch_end


def train_interrupted(train: Train, name: str, *overrides: str, steps: tuple[int, ...]) -> Path:
    """Train a run that is interrupted after each of these steps."""
    for step in steps:
        with pytest.MonkeyPatch.context() as patched, interruptible():
            patched.setattr(History, "on_train_batch_end", interrupt_at_step(step))
            with pytest.raises(Interrupted):
                train(name, *overrides)
    return train(name, *overrides)


@pytest.mark.parametrize("option", OPTIONS)
def test_run_with_every_option_resumes_exactly(train: Train, option: str) -> None:
    overrides = (*QUICK, f"callbacks={option}", *SETTINGS.get(option, ()))
    uninterrupted = train("uninterrupted", *overrides)
    assert_same_runs(train_interrupted(train, "interrupted", *overrides, steps=(3, 6, 8)), uninterrupted)


def test_run_with_several_callbacks_resumes_exactly_in_other_circumstances(train: Train) -> None:
    overrides = (
        *QUICK,
        "callbacks=[ema,early_stopping,lr_monitor]",
        *own(Drawing),
        *own(CountingSteps, name="counting"),
        "trainer.accumulate_grad_batches=2",
        "trainer.check_val_every_n_epoch=2",
        "memory_format=channels_last",
        "trainer.precision=bf16-true",
    )
    uninterrupted = train("uninterrupted", *overrides)
    assert_same_runs(train_interrupted(train, "interrupted", *overrides, steps=(2, 5)), uninterrupted)
    assert load_checkpoint(uninterrupted)["callbacks"]["CountingSteps"] == {"num_steps": 18}


@pytest.mark.parametrize("option", ["ema", "swa"])
@pytest.mark.parametrize("protocol", [(), ("data.val_size=0", "data.test_every_epoch=true")], ids=["holdout", "book"])
def test_averaged_weights_are_evaluated_tested_and_saved(
    train: Train, tmp_path: Path, option: str, protocol: tuple[str, ...]
) -> None:
    overrides = (*QUICK, *protocol, "trainer.limit_test_batches=null", "trainer.limit_val_batches=null")
    plain = train("plain", *overrides)
    averaged = train("averaged", *overrides, f"callbacks={option}", *SETTINGS.get(option, ()))
    checkpoint = load_checkpoint(averaged)
    # The training is that of the run without an average.
    assert_equal(checkpoint[WEIGHT_AVERAGE_KEY]["trained"], load_checkpoint(plain)["state_dict"])
    assert [row["train/loss"] for row in read_epochs(averaged)] == [row["train/loss"] for row in read_epochs(plain)]
    assert checkpoint[WEIGHT_AVERAGE_KEY]["num_averaged"] == {"ema": 18, "swa": 3}[option]
    split = "test" if protocol else "val"
    losses = [float(row[f"{split}/loss"]) for row in read_epochs(averaged)]
    assert losses != [float(row[f"{split}/loss"]) for row in read_epochs(plain)]
    # What the weights in best.ckpt give, measured by another task, is what was recorded of the epoch that was tested.
    task = (
        "task=evaluate",
        "trainer=cpu",
        f"ckpt_path={averaged}",
        f"task.split={split}",
        f"task.to={tmp_path / 'to'}",
    )
    evaluate([ComposedConfig.from_overrides(*task)], None)
    results = read_results(averaged)
    measured = json.loads((tmp_path / "to" / "evaluation.json").read_text())["metrics"]
    assert measured[f"{split}/loss"] == results["metrics"][f"{split}/loss"] == losses[results["tested_epoch"] - 1]


def test_mean_of_weights_has_statistics_of_its_own(train: Train) -> None:
    run = train("run", *QUICK, "callbacks=swa", "callbacks.swa.start=1", "trainer.limit_train_batches=null")
    settings = compose_settings("data=digits", "trainer=cpu", *QUICK)
    data = build_data(settings)
    classifier = build_classifier(settings, data)
    stored = load_checkpoint(run)["state_dict"]
    classifier.load_state_dict(stored)
    images = data.stored_split("train").images
    update_bn([data.preprocessing(images[:1257])], classifier.model)
    for name, weight in classifier.state_dict().items():
        if "running_mean" in name:
            torch.testing.assert_close(stored[name], weight, atol=0.02, rtol=0.02)
    assert stored["model.features.1.num_batches_tracked"] == 3 * 79


def test_stopped_run_says_why_and_is_completed(train: Train, caplog: pytest.LogCaptureFixture) -> None:
    overrides = (*QUICK, "callbacks=early_stopping", *SETTINGS["early_stopping"], "monitor=val/acc")
    with caplog.at_level(logging.INFO):
        run = train("run", *overrides)
    first_accuracy = float(read_epochs(run)[0]["val/acc"])
    reason = f"early_stopping: val/acc did not improve in 1 evaluation, best {first_accuracy:.4g}"
    results = read_results(run)
    assert (results["status"], results["epochs"], results["stopped_early"]) == ("completed", 2, reason)
    assert f"stopped early: {reason}" in caplog.messages
    assert [message.split()[1] for message in caplog.messages if message.startswith("epoch ")] == ["1/3", "2/2"]
    before = (run / "results.json").read_text()
    train("run", *overrides)
    assert (run / "results.json").read_text() == before


def test_training_of_all_epochs_is_not_stopped_early(train: Train) -> None:
    last_epoch = (*SETTINGS["early_stopping"], "callbacks.early_stopping.patience=2")
    run = train("run", *QUICK, "callbacks=early_stopping", *last_epoch, "trainer.max_steps=18")
    assert (read_results(run)["epochs"], read_results(run)["stopped_early"]) == (3, None)


def test_steps_that_are_used_up_are_the_reason(train: Train) -> None:
    within_last_epoch = train("run", *QUICK, "trainer.max_steps=15")
    assert read_results(within_last_epoch)["stopped_early"] == "trainer.max_steps=15 is reached"
    longer = train("longer", *QUICK, "trainer.max_steps=16", f"ckpt_path={within_last_epoch}", "trainer.max_epochs=4")
    assert read_results(longer)["stopped_early"] == "trainer.max_steps=16 is reached"


@pytest.mark.parametrize("limits", [(), ("trainer.max_steps=17",)])
def test_own_callback_ends_the_training_within_an_epoch(train: Train, limits: tuple[str, ...]) -> None:
    run = train("run", *QUICK, *limits, *own(StopAfterStep, "step=8"), "callbacks=lr_monitor")
    assert [row["step"] for row in read_epochs(run)] == ["6", "8"]
    assert all(row["val/acc"] for row in read_epochs(run))
    assert read_results(run)["stopped_early"] == "callbacks.own set trainer.should_stop"


def test_training_that_ends_at_the_start_of_an_epoch_makes_one_more_step(train: Train) -> None:
    run = train("run", *QUICK, *own(StopAtStartOfEpoch))
    assert [(row["step"], float(row["train/loss"]) > 0) for row in read_epochs(run)] == [("6", True), ("7", True)]


@pytest.mark.parametrize(
    "callbacks",
    [("callbacks=early_stopping", *SETTINGS["early_stopping"]), own(StopAfterStep, "step=12")],
    ids=["early_stopping", "own"],
)
def test_run_killed_between_its_stop_and_its_test_ends_the_same(
    train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, callbacks: tuple[str, ...]
) -> None:
    uninterrupted = train("uninterrupted", *QUICK, *callbacks)
    assert read_results(uninterrupted)["epochs"] == 2

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pl.Trainer, "test", die)
        with pytest.raises(KeyboardInterrupt):
            train("killed", *QUICK, *callbacks)
    killed = tmp_path / "killed"
    replace(RunResults.load(killed), status=Status.RUNNING).save(killed)
    assert_same_runs(train("killed", *QUICK, *callbacks), uninterrupted)


def test_run_that_a_callback_ended_does_not_go_on_elsewhere(train: Train) -> None:
    overrides = ("data=digits", "trainer=cpu", *QUICK, "callbacks=early_stopping", *SETTINGS["early_stopping"])
    run = train("run", *overrides)
    with pytest.raises(ConfigError, match=r"must be of a training that can continue; that one ended: early_stopping: "):
        check_training(compose_settings(*overrides, "trainer.max_epochs=4", f"ckpt_path={run}"))


def test_failure_in_a_callback_fails_the_run(train: Train, tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match=r"^RuntimeError: out of coffee \(test_train_with_callbacks.py:\d+\); "):
        train("run", *QUICK, *own(Failing))
    assert read_results(tmp_path / "run")["status"] == "failed"


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_lightnings_checkpoints_are_beside_those_of_the_run(train: Train) -> None:
    target = "++callbacks.all._target_=lightning.pytorch.callbacks.ModelCheckpoint"
    overrides = (*QUICK, target, "++callbacks.all.save_top_k=-1", "++callbacks.all.save_last=true", "callbacks=ema")
    uninterrupted = train("uninterrupted", *overrides)
    checkpoints = uninterrupted / "checkpoints"
    assert sorted(str(path.relative_to(checkpoints)) for path in checkpoints.rglob("*.ckpt")) == [
        "all/epoch=0-step=6.ckpt",
        "all/epoch=1-step=12.ckpt",
        "all/epoch=2-step=18.ckpt",
        "all/last.ckpt",
        "best.ckpt",
        "last.ckpt",
    ]
    resumed = train_interrupted(train, "interrupted", *overrides, steps=(8,))
    for name in ("last.ckpt", "all/last.ckpt"):
        assert_equal(load_checkpoint(resumed, name)["state_dict"], load_checkpoint(uninterrupted, name)["state_dict"])


def test_loggers_get_the_learning_rate_of_every_step_and_the_statistics(train: Train) -> None:
    run = train("run", *QUICK, "callbacks=[lr_monitor,device_stats]", "callbacks.device_stats.every_n_steps=3")
    events = EventAccumulator(str(run)).Reload()
    assert [event.step for event in events.Scalars("lr-Adam")] == list(range(18))
    assert [event.step for event in events.Scalars("device/cpu_percent")] == [3, 6, 9, 12, 15, 18]


def test_profile_is_written_into_the_directory(train: Train) -> None:
    run = train("run", *QUICK, "trainer.max_epochs=1", "callbacks=profiler", *SETTINGS["profiler"])
    text = (run / "profile.txt").read_text()
    assert text.startswith("2 batches of the training\n")
    assert "aten::" in text
    assert "Optimizer.step#Adam.step" in (run / "profile_trace.json").read_text()


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (("++callbacks.own._target_=torch.nn.Identity",), "callbacks.own._target_=torch.nn.Identity: must be a subclass of lightning.pytorch.callbacks.callback.Callback, or a function that makes one"),
        (own(StopAfterStep), "callbacks.own: TypeError: StopAfterStep.__init__() missing 1 required positional argument: 'step'"),
        (own(WithObjectAsState), "its state_dict() must have only tensors and plain values, else no run resumes from its checkpoints"),
        ((*own(CountingSteps), *own(CountingSteps, name="other")), "callbacks.other: can't be combined with callbacks.own: both save their state as 'CountingSteps'"),
        (("callbacks=[ema,swa]",), "callbacks.swa: can't be combined with callbacks.ema: both average the weights"),
        (("callbacks=early_stopping", "callbacks.early_stopping.monitor=val/los"), "callbacks.early_stopping.monitor=val/los: must be a metric that is logged: train/loss, train/acc, val/loss, val/acc, val/f1; did you mean val/loss?"),
        (("callbacks=early_stopping", "callbacks.early_stopping.monitor=test/acc"), "the test set is used once, after the training"),
        (("callbacks=early_stopping", "data.val_size=0"), "must be a metric that is logged: train/loss, train/acc; data.val_size=0 holds out no images"),
        (("callbacks=early_stopping", "callbacks.early_stopping.patience=0"), "callbacks.early_stopping.patience=0: must be an integer >= 1"),
        (("callbacks=swa", "callbacks.swa.start=11"), "callbacks.swa.start=11: must be at most trainer.max_epochs=10"),
        (("callbacks=swa", "trainer.limit_train_batches=2", "trainer.max_steps=15"), "callbacks.swa.start=0.75: must be less: epoch 8 is the first that is averaged, and trainer.max_steps leaves 7 complete"),
        (("callbacks=swa", "callbacks.swa.start=1.0"), "callbacks.swa.start=1.0: must be an epoch, from 1, or a share of the epochs, a float in [0, 1)"),
        (("callbacks=lr_monitor", "logger=none"), "needs a logger, such as logger=tensorboard"),
        (("++callbacks.bar._target_=lightning.pytorch.callbacks.TQDMProgressBar",), "ProgressBar is not supported: there is a progress bar if the output is a terminal"),
        (("++callbacks.mean._target_=lightning.pytorch.callbacks.StochasticWeightAveraging", "++callbacks.mean.swa_lrs=0.1"), "StochasticWeightAveraging is not supported: its average is neither in best.ckpt nor tested; use callbacks=swa"),
    ],
)  # fmt: skip
def test_callback_that_cannot_work_is_rejected_in_one_line(overrides: tuple[str, ...], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_training(compose_settings("data=digits", "trainer=cpu", *overrides))
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_psutil_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnn_experiments.training.callbacks.device_stats.RequirementCache", lambda _: False)
    with pytest.raises(ConfigError, match=r"needs the package psutil on a CPU: pip install psutil$"):
        check_training(compose_settings("data=digits", "trainer=cpu", "callbacks=device_stats"))


@pytest.mark.parametrize(
    ("overrides", "mode"),
    [
        ((), "max"),
        (("monitor=val/loss",), "min"),
        (("callbacks.early_stopping.monitor=train/loss",), "min"),
        (("monitor=val/loss", "callbacks.early_stopping.mode=max"), "max"),
    ],
)
def test_direction_of_a_metric_is_its_own(overrides: tuple[str, ...], mode: str) -> None:
    callback = build_callbacks(compose_settings("callbacks=early_stopping", *overrides))["early_stopping"]
    assert isinstance(callback, EarlyStopping)
    assert callback.mode == mode


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda content: content.pop(WEIGHT_AVERAGE_KEY), "it has no weight_average"),
        (lambda content: content[WEIGHT_AVERAGE_KEY]["trained"].popitem(), "weight_average.trained lacks"),
        (
            lambda content: content[WEIGHT_AVERAGE_KEY].update(num_averaged=-1),
            "its number of averaged weights is damaged",
        ),
    ],
)
def test_damaged_average_is_found_before_the_run_continues(
    train: Train, tmp_path: Path, damage: Callable[[dict[str, Any]], Any], problem: str
) -> None:
    overrides = (*QUICK, "callbacks=ema")
    with pytest.MonkeyPatch.context() as patched, interruptible():
        patched.setattr(History, "on_train_batch_end", interrupt_at_step(3))
        with pytest.raises(Interrupted):
            train("run", *overrides)
    content = load_checkpoint(tmp_path / "run")
    damage(content)
    torch.save(content, tmp_path / "run" / "checkpoints" / "last.ckpt")
    with pytest.raises(RunFailedError, match=problem):
        train("run", *overrides)
