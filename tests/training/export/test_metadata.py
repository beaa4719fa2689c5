"""Tests of what an exported file says of its network."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.status import Status
from cnn_experiments.runtime.environment import versions
from cnn_experiments.training.export.metadata import DESCRIPTION, WEIGHTS_DESCRIPTION, metadata_of
from tests.training.export.conftest import MakeTrained

RESULTS = RunResults(
    status=Status.COMPLETED,
    model="lenet_bn",
    data="digits",
    overrides=[],
    seed=0,
    metrics={"test/acc": 0.75, "test/acc/7": None, "val/acc": 0.5},
    tested_epoch=3,
    git_commit="0123456789abcdef-dirty",
    versions={"torch": "2.15.0"},
)


def read(metadata: dict[str, str]) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in metadata.items() if key != "description"}


def test_metadata_of_a_run(make_trained: MakeTrained, tmp_path: Path) -> None:
    trained = make_trained("model=lenet_bn", "data.normalize=true")
    RESULTS.save(tmp_path)
    metadata = metadata_of(trained, has_preprocessing=True)
    assert metadata["description"] == DESCRIPTION
    values = read(metadata)
    settings = values.pop("settings")
    assert values == {
        "class_names": ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        "channels": 1,
        "native_size": 8,
        "image_size": 28,
        "mean": [trained.data.mean],
        "std": [trained.data.std],
        "epoch": 3,
        "test_metrics": {"test/acc": 0.75, "test/acc/7": None},
        "model": "lenet_bn",
        "git_commit": "0123456789abcdef-dirty",
        "trained_with": {"torch": "2.15.0"},
        "exported_with": versions(),
    }
    assert (settings["model.norm"], settings["data.resize"], settings["optimizer.lr"]) == ("batch", 28, 0.001)


def test_metadata_of_a_checkpoint_without_its_run(make_trained: MakeTrained) -> None:
    metadata = metadata_of(make_trained(), has_preprocessing=False)
    assert metadata["description"] == WEIGHTS_DESCRIPTION
    values = read(metadata)
    assert [values[key] for key in ("model", "git_commit", "trained_with", "test_metrics")] == [None] * 4
    assert (values["mean"], values["std"]) == ([0], [1])


def test_test_metrics_of_another_epoch_are_left_out(make_trained: MakeTrained, tmp_path: Path) -> None:
    replace(RESULTS, tested_epoch=2).save(tmp_path)
    values = read(metadata_of(make_trained(), has_preprocessing=True))
    assert values["git_commit"] == "0123456789abcdef-dirty"
    assert values["test_metrics"] is None


def test_paths_of_the_machine_are_left_out(make_trained: MakeTrained) -> None:
    trained = make_trained()
    data = trained.settings["data"] | {
        "root": "pictures",
        "masks": "/home/ada/masks",
        "more": "C:\\masks",
        "own": "~/x",
    }
    settings = {**trained.settings, "data": data, "ckpt_path": "outputs/earlier"}
    values = read(metadata_of(replace(trained, settings=settings), has_preprocessing=True))
    assert values["settings"] == read(metadata_of(trained, has_preprocessing=True))["settings"]
