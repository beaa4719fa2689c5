"""Tests of the predictions that a run writes."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cnn_experiments.data.datamodule import ImageDataModule
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.runs.metrics import EVAL_SPLITS
from cnn_experiments.training.build import build_classifier, build_data
from tests.conftest import compose_settings, read_results

OVERRIDES = ("model=lenet_bn", "trainer.max_epochs=2", "trainer.limit_train_batches=8")


def data_of(*overrides: str) -> ImageDataModule:
    return build_data(compose_settings("data=digits", *overrides))


def test_predictions_are_those_of_the_tested_weights(train: Callable[..., Path]) -> None:
    run = train("run", *OVERRIDES)
    predictions = Predictions.load(run / "predictions.npz")
    settings = compose_settings("data=digits", *OVERRIDES)
    data = build_data(settings)
    classifier = build_classifier(settings, data).eval()
    classifier.load_state_dict(torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"])
    assert predictions.class_names == tuple("0123456789")
    for name, train_set in (("test", False), ("val", True)):
        images, labels = data.load(train_set)
        split = predictions.splits[name]  # type: ignore[index]
        assert np.array_equal(split.label, labels[split.index])
        with torch.inference_mode():
            logits = classifier(data.preprocessing(images[split.index])).numpy()
        np.testing.assert_allclose(split.logits, logits, atol=1e-5)
    test, val = predictions.splits["test"], predictions.splits["val"]
    assert test.index.tolist() == list(range(360))
    assert sorted(val.index.tolist()) == sorted(data.stored_split("val").index.tolist())
    metrics = read_results(run)["metrics"]
    assert (test.predicted == test.label).mean() == pytest.approx(metrics["test/acc"], abs=1e-6)
    assert (val.predicted == val.label).mean() == pytest.approx(metrics["val/acc"], abs=1e-6)


def test_images_of_mistakes_are_those_of_the_data_set(train: Callable[..., Path]) -> None:
    predictions = Predictions.load(train("run", *OVERRIDES) / "predictions.npz")
    images, _ = data_of().load(train=False)
    assert len(predictions.mistake_index) > 0
    assert np.array_equal(predictions.mistake_images, images[predictions.mistake_index])
    assert predictions.mistake_index.tolist() == predictions.evaluated.mistakes().tolist()


def test_only_what_was_measured_is_recorded(train: Callable[..., Path]) -> None:
    run = train("run", "trainer=smoke", "trainer.accelerator=cpu")
    predictions = Predictions.load(run / "predictions.npz")
    assert [len(predictions.splits[name].index) for name in ("test", "val")] == [32, 32]  # type: ignore[index]


def test_without_held_out_images_the_test_alone_is_recorded(train: Callable[..., Path]) -> None:
    run = train("run", "trainer=smoke", "trainer.accelerator=cpu", "data.val_size=0")
    assert list(Predictions.load(run / "predictions.npz").splits) == ["test"]


def test_several_processes_record_every_image_once(
    command: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    typed = ("data=digits", "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=1", "data.batch_size=50")
    completed = command(*typed, "hydra.run.dir=run")
    assert completed.returncode == 0, completed.stderr
    predictions = Predictions.load(tmp_path / "run" / "predictions.npz")
    data = data_of("data.batch_size=50")
    assert predictions.splits["test"].index.tolist() == list(range(360))
    assert predictions.splits["val"].index.tolist() == data.stored_split("val").index.tolist()
    metrics = read_results(tmp_path / "run")["metrics"]
    for split in EVAL_SPLITS:
        own = predictions.splits[split]
        assert np.array_equal(own.label, data.load(train=split == "val")[1][own.index])
        assert (own.predicted == own.label).mean() == pytest.approx(metrics[f"{split}/acc"], abs=1e-6)


def test_stages_of_the_network_are_recorded(train: Callable[..., Path]) -> None:
    run = train("run", "trainer=smoke", "trainer.accelerator=cpu")
    results = json.loads((run / "results.json").read_text())
    assert sum(stage["parameters"] for stage in results["stages"]) == results["parameters"]
    assert sum(stage["multiply_adds"] for stage in results["stages"]) == results["multiply_adds"]
    assert results["stages"][-1]["shape"] == [10]
