"""Tests of measuring a trained network again."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.stored_settings import DEVICE_KEYS, IMAGES_KEYS
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.tasks.evaluate import evaluate
from cnn_experiments.training.build import build_data
from cnn_experiments.training.trained_network import load_trained_network
from tests.conftest import compose_settings, read_results, train_in
from tests.own_images import write_folder

OVERRIDES = ("model=lenet_bn", "trainer.max_epochs=2", "trainer.limit_train_batches=8", "metrics=[top5,calibration]")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a completed run; tests write into directories of their own."""
    return train_in(tmp_path_factory.mktemp("evaluated") / "run", *OVERRIDES)


@pytest.fixture
def measure(run: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that evaluates the run with further overrides, and returns what was written."""

    def evaluate_run(*overrides: str) -> dict[str, Any]:
        to = tmp_path / "written"
        typed = ("task=evaluate", f"ckpt_path={run}", "trainer=cpu", f"task.to={to}")
        evaluate([ComposedConfig.from_overrides(*typed, *overrides)], None)
        content: dict[str, Any] = json.loads((to / "evaluation.json").read_text())
        return content

    return evaluate_run


def test_metrics_of_the_test_are_those_of_the_run(
    run: Path, measure: Callable[..., dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluation = measure()
    stored = read_results(run)["metrics"]
    assert evaluation["metrics"] == {name: value for name, value in stored.items() if name.startswith("test/")}
    assert evaluation["images"] == 360
    assert "equal to the run's results.json, to the last digit (15 metrics)" in capsys.readouterr().out
    own, again = (Predictions.load(path / "predictions.npz") for path in (run, tmp_path / "written"))
    assert np.array_equal(own.splits["test"].logits, again.splits["test"].logits)


def test_metrics_of_the_held_out_images_are_those_of_the_run(run: Path, measure: Callable[..., dict[str, Any]]) -> None:
    evaluation = measure("task.split=val")
    stored = read_results(run)["metrics"]
    assert {name: evaluation["metrics"][name] for name in ("val/acc", "val/f1", "val/loss", "val/top5")} == {
        name: stored[name] for name in ("val/acc", "val/f1", "val/loss", "val/top5")
    }
    assert evaluation["images"] == 180
    assert evaluation["metrics"]["val/acc/3"] == pytest.approx(evaluation["classes"]["3"]["recall"])


def test_training_images_are_measured_without_augmentation(measure: Callable[..., dict[str, Any]]) -> None:
    evaluation = measure("task.split=train")
    assert evaluation["images"] == 1257
    again = sum(measures["recall"] * measures["support"] for measures in evaluation["classes"].values()) / 1257
    assert evaluation["metrics"]["train/acc"] == pytest.approx(again, abs=1e-6)


def test_other_images_in_folders_are_resized_once(tmp_path: Path) -> None:
    """Resize them from their files to the size of the training, and not to the default of `data=folder` before."""
    own, others = write_folder(tmp_path / "own"), write_folder(tmp_path / "others", num_images=20)
    run = train_in(
        tmp_path / "run", "data=folder", f"data.root={own}", "data.test_size=9", "data.resize=20", "data.val_size=6",
        "data.channels=1", "data.batch_size=8", f"data.cache={tmp_path / 'cache'}", "model=lenet_bn", "trainer.max_epochs=1",
    )  # fmt: skip
    other_data = ("data=folder", f"data.root={others}", "data.test_size=15", f"data.cache={tmp_path / 'cache'}")
    logits = []
    for number, overrides in enumerate([(), ("data.resize=20",)]):
        to = tmp_path / f"evaluation{number}"
        typed = ("task=evaluate", f"ckpt_path={run}", "trainer=cpu", f"task.to={to}", "data.channels=1")
        evaluate([ComposedConfig.from_overrides(*typed, *other_data, *overrides)], None)
        logits.append(Predictions.load(to / "predictions.npz").splits["test"].logits)
    assert len(logits[0]) == 15
    assert np.array_equal(*logits)


def test_other_data_are_preprocessed_as_those_of_the_run(
    run: Path, tmp_path: Path, fashion_mnist_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "written"
    typed = ("task=evaluate", f"ckpt_path={run}", "trainer=cpu", f"task.to={to}")
    other = ("data=fashion_mnist", f"data.root={fashion_mnist_root}", "trainer.limit_test_batches=2")
    evaluate([ComposedConfig.from_overrides(*typed, *other)], None)
    evaluation = json.loads((to / "evaluation.json").read_text())
    assert (evaluation["data"], evaluation["images"]) == ("fashion_mnist", 512)
    assert "test/acc/Sandal" in evaluation["metrics"]
    trained = load_trained_network(ComposedConfig.from_overrides(*typed), (*IMAGES_KEYS, *DEVICE_KEYS))
    images = build_data(compose_settings(*other[:2])).stored_split("test").images[:512]
    logits = Predictions.load(to / "predictions.npz").splits["test"].logits
    np.testing.assert_allclose(logits, trained.logits(images).numpy(), atol=1e-5)
    assert "the classes have other names: the network learned 0, 1, 2, ...; these images are of T-shirt/top" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["data.channels=3"], "data.channels=3: must be 1, as in the run of ckpt_path"),
        (["data.train_size=100"], "data.train_size=100: must be left out, as in the run of ckpt_path"),
        (
            ["data=cifar10"],
            "data=cifar10: channels must be 1, as in training, not 3; did you mean data.channels=1?",
        ),
    ],
)
def test_images_that_the_network_was_not_built_for_are_rejected(
    run: Path, measure: Callable[..., dict[str, Any]], overrides: list[str], line: str
) -> None:
    with pytest.raises(ConfigError) as error:
        measure(*overrides)
    assert str(error.value) == line


def test_part_of_the_images_in_three_channels_is_trained_on_measured_and_resumed(
    train: Callable[..., Path], tmp_path: Path
) -> None:
    overrides = ("data.train_size=64", "data.channels=3", "model=lenet_bn")
    run = train("part", *overrides, "trainer.max_epochs=2")
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2 * 64 / 16
    assert next(iter(checkpoint["state_dict"].values())).shape[1] == 3
    typed = ("task=evaluate", f"ckpt_path={run}", "trainer=cpu")
    evaluate([ComposedConfig.from_overrides(*typed, f"task.to={tmp_path / 'written'}", "task.split=train")], None)
    evaluation = json.loads((tmp_path / "written" / "evaluation.json").read_text())
    assert evaluation["images"] == 64
    shorter = train("shorter", *overrides, "trainer.max_epochs=1")
    resumed = train("resumed", *overrides, "trainer.max_epochs=2", f"ckpt_path={shorter}")
    again = torch.load(resumed / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(again[name], weights) for name, weights in checkpoint["state_dict"].items())


def test_nothing_is_overwritten(measure: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    measure()
    monkeypatch.setattr("cnn_experiments.tasks.evaluate._measure", None)  # it is known before anything is measured
    with pytest.raises(ConfigError) as error:
        measure()
    assert error.value.key == "task.to"
    assert error.value.problem == "it holds evaluation.json, predictions.npz already, and nothing is overwritten"


def test_split_that_the_run_does_not_have_is_rejected(train: Callable[..., Path]) -> None:
    run = train("whole", "trainer=smoke", "trainer.accelerator=cpu", "data.val_size=0")
    with pytest.raises(ConfigError) as error:
        evaluate([ComposedConfig.from_overrides("task=evaluate", f"ckpt_path={run}", "task.split=val")], None)
    assert str(error.value) == "task.split=val: must be train or test: no images are held out (data.val_size=0)"


def test_command_writes_beside_the_figures_of_the_run(
    run: Path, command: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    for name in ("evaluate", "evaluate-2"):
        completed = command("task=evaluate", f"ckpt_path={run}", "trainer=cpu")
        assert completed.returncode == 0, completed.stderr
        assert sorted(path.name for path in (run / name).iterdir()) == ["evaluation.json", "predictions.npz"]
    assert {path: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
    completed = command("task=evaluate", f"ckpt_path={run}", "optimizer.lr=0.5")
    assert completed.returncode == 2
    assert (completed.stdout, completed.stderr) == (
        "",
        "optimizer.lr=0.5: must be 0.001, as in the run of ckpt_path\n",
    )


def test_metrics_of_fewer_images_are_not_compared(
    measure: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure("trainer.limit_test_batches=2")["images"] == 32
    output = capsys.readouterr().out
    assert "the first 32 of 360 images: trainer.limit_test_batches=2" in output
    assert "results.json" not in output


def test_limits_of_the_run_count_for_its_own_test_alone(
    train: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("short", "trainer=smoke", "trainer.accelerator=cpu")
    num_images = {}
    for split in ("test", "train"):
        to = tmp_path / split
        typed = ("task=evaluate", f"ckpt_path={run}", f"task.split={split}", f"task.to={to}")
        evaluate([ComposedConfig.from_overrides(*typed)], None)
        num_images[split] = json.loads((to / "evaluation.json").read_text())["images"]
    assert num_images == {"test": 32, "train": 1257}
    assert "equal to the run's results.json, to the last digit (13 metrics)" in capsys.readouterr().out


@pytest.mark.parametrize("setting", ["trainer.precision=bf16-mixed", "memory_format=channels_last", "model=resnet18"])
def test_metrics_equal_those_of_a_run_with_other_arithmetic(
    train: Callable[..., Path], capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    run = train("run", "trainer=smoke", "trainer.accelerator=cpu", setting)
    evaluate([ComposedConfig.from_overrides("task=evaluate", f"ckpt_path={run}")], None)
    assert "equal to the run's results.json, to the last digit (13 metrics)" in capsys.readouterr().out


def test_metric_of_torchmetrics_that_was_typed_is_measured_again(
    train: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    target = "++metrics.top3._target_=torchmetrics.classification.MulticlassAccuracy"
    run = train("run", "trainer=smoke", "trainer.accelerator=cpu", target, "++metrics.top3.top_k=3")
    evaluate([ComposedConfig.from_overrides("task=evaluate", f"ckpt_path={run}")], None)
    output = capsys.readouterr().out
    assert f"test/top3 {read_results(run)['metrics']['test/top3']}\n" in output
    assert "equal to the run's results.json, to the last digit (14 metrics)" in output


def test_directory_is_removed_if_nothing_was_written(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RunFailedError("no images")

    monkeypatch.setattr("cnn_experiments.tasks.evaluate._measure", fail)
    before = sorted(run.iterdir())
    with pytest.raises(RunFailedError, match=r"^no images$"):
        evaluate([ComposedConfig.from_overrides("task=evaluate", f"ckpt_path={run}")], None)
    assert sorted(run.iterdir()) == before


def test_all_networks_are_loaded_before_one_is_measured(run: Path, tmp_path: Path) -> None:
    configs = [ComposedConfig.from_overrides("task=evaluate", f"ckpt_path={path}") for path in (run, tmp_path / "no")]
    before = sorted(run.iterdir())
    with pytest.raises(ConfigError, match=r"must be a run's directory or a checkpoint; there is nothing$"):
        evaluate(configs, None)
    same = [ComposedConfig.from_overrides("task=evaluate", f"ckpt_path={run}", "task.to=x")] * 2
    with pytest.raises(ConfigError, match=r"^task\.to=x: must be null, or another one for each of several networks$"):
        evaluate(same, None)
    assert sorted(run.iterdir()) == before


def test_sweep_of_evaluations(run: Path, command: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    completed = command("-m", "task=evaluate", f"ckpt_path={run}", "trainer=cpu", "task.split=test,val")
    assert completed.returncode == 0, completed.stderr
    assert "test/acc" in completed.stdout
    assert "val/acc" in completed.stdout
    assert completed.stdout.count("written:") == 2


class LossWithScale(nn.Module):
    """Cross-entropy times a number that is trained, so that the loss of a test depends on the checkpoint's."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.scale * nn.functional.cross_entropy(logits, targets)


def test_loss_with_trained_parameters_is_that_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "scaled.yaml").write_text(f"_target_: {__name__}.LossWithScale\n")
    own = (f"hydra.searchpath=[{tmp_path}]", "loss=scaled")
    run = train_in(tmp_path / "run", *OVERRIDES[:-1], *own)
    typed = ("task=evaluate", f"ckpt_path={run}", "trainer=cpu", f"task.to={tmp_path / 'written'}")
    evaluate([ComposedConfig.from_overrides(*own, *typed)], None)
    written = json.loads((tmp_path / "written" / "evaluation.json").read_text())
    assert written["metrics"]["test/loss"] == read_results(run)["metrics"]["test/loss"]
