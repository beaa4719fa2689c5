"""Tests of loading a trained network from a run's directory or a checkpoint."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.stored_settings import DEVICE_KEYS, IMAGES_KEYS, MEASUREMENT_KEYS
from cnn_experiments.errors import ConfigError
from cnn_experiments.predictions.file import Predictions
from cnn_experiments.training.trained_network import TrainedNetwork, load_trained_network
from tests.conftest import compose_settings, train_in

OVERRIDES = ("model=lenet_bn", "trainer.max_epochs=2", "trainer.limit_train_batches=4", "data.normalize=true")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a completed run, which no test may change."""
    return train_in(tmp_path_factory.mktemp("trained") / "run", *OVERRIDES)


def load(path: Path, *overrides: str) -> TrainedNetwork:
    config = ComposedConfig.from_overrides("task=evaluate", f"ckpt_path={path}", *overrides)
    return load_trained_network(config, (*IMAGES_KEYS, *DEVICE_KEYS, *MEASUREMENT_KEYS))


def rejection(path: Path, *overrides: str) -> str:
    """Return the line with which a command is rejected."""
    with pytest.raises(ConfigError) as error:
        load(path, *overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_network_and_data_are_those_of_the_run(run: Path) -> None:
    trained = load(run)
    assert trained.checkpoint == run / "checkpoints" / "best.ckpt"
    assert trained.directory == run
    assert trained.epoch in (1, 2)
    assert not trained.network.training
    assert trained.settings["optimizer"]["lr"] == 0.001
    assert (trained.data.size, trained.data.preprocessing.mean) == (28, 0.3060)
    stored = torch.load(trained.checkpoint, weights_only=True)["state_dict"]
    for name, tensor in trained.network.state_dict().items():
        assert torch.equal(tensor, stored[f"model.{name}"])


def test_logits_are_those_of_the_test(run: Path) -> None:
    trained = load(run)
    trained.network.train()  # as somebody does who goes on with it in a notebook
    images = trained.data.stored_split("test").images
    tested = Predictions.load(run / "predictions.npz").splits["test"]
    assert np.array_equal(trained.logits(images).numpy(), tested.logits)
    assert trained.network.training
    assert trained.logits(images[:0]).shape == (0, 10)


def test_checkpoint_is_used_wherever_it_lies(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere.ckpt"
    shutil.copy(run / "checkpoints" / "best.ckpt", copy)
    trained = load(copy)
    assert (trained.checkpoint, trained.directory) == (copy, tmp_path)
    images = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8)
    assert torch.equal(trained.logits(images), load(run).logits(images))


def test_what_changes_no_result_may_be_typed(run: Path) -> None:
    trained = load(run, "data.batch_size=7", "trainer=cpu", "trainer.limit_test_batches=3", "model=lenet_bn")
    assert trained.data.batch_size == 7
    assert trained.settings["trainer"]["limit_test_batches"] == 3
    assert trained.settings["trainer"]["max_epochs"] == 2
    assert trained.settings["trainer"]["accelerator"] == "cpu"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (("optimizer.lr=0.5",), "optimizer.lr=0.5: must be 0.001, as in the run of ckpt_path"),
        (("seed=3",), "seed=3: must be 0, as in the run of ckpt_path"),
        (("data=digits", "data.resize=56"), "data.resize=56: must be 28, as in the run of ckpt_path"),
        (("data.val_size=10",), "data.val_size=10: must be 180, as in the run of ckpt_path"),
        (
            ("model=nin",),
            "model=nin: must be left out, or be that of the run of ckpt_path, "
            "which has model._target_=cnn_experiments.models.LeNet",
        ),
        (
            ("model=lenet",),
            "model=lenet: must be left out, or be that of the run of ckpt_path, which has model.norm=batch",
        ),
        (("data=fashion_mnist", "data.resize=56"), "data.resize=56: must be 28, as in the run of ckpt_path"),
        (
            ("trainer=smoke",),
            "trainer=smoke: must be left out: trainer.max_epochs is that of the run, "
            "and only trainer.accelerator can be chosen here",
        ),
        (("trainer.max_epochs=3",), "trainer.max_epochs=3: must be 2, as in the run of ckpt_path"),
    ],
)
def test_setting_that_contradicts_the_run_is_rejected(run: Path, overrides: tuple[str, ...], line: str) -> None:
    assert rejection(run, *overrides) == line


def test_path_that_is_no_run_is_rejected(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = "must be a run's directory or a checkpoint"
    assert rejection(tmp_path / "nothing") == f"ckpt_path=nothing: {wanted}; there is nothing"
    (tmp_path / "empty").mkdir()
    assert rejection(tmp_path / "empty") == f"ckpt_path=empty: {wanted}; this directory is neither"
    (tmp_path / "sweep").mkdir()
    shutil.copytree(run, tmp_path / "sweep" / "lenet")
    assert rejection(tmp_path / "sweep") == (
        f"ckpt_path=sweep: {wanted}; this directory is neither; did you mean sweep/lenet?"
    )
    assert rejection(tmp_path / "sweeep" / "lenet") == (
        f"ckpt_path=sweeep/lenet: {wanted}; there is nothing; did you mean sweep/lenet?"
    )
    shutil.copy(run / "checkpoints" / "best.ckpt", tmp_path / "empty" / "w.ckpt")
    assert rejection(tmp_path / "empty") == (
        f"ckpt_path=empty: {wanted}; this directory is neither; did you mean empty/w.ckpt?"
    )
    shutil.rmtree(tmp_path / "sweep" / "lenet" / "checkpoints")
    assert rejection(tmp_path / "sweep" / "lenet") == (
        "ckpt_path=sweep/lenet: this run has no checkpoints/best.ckpt: it was removed"
    )


class Exploit:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (Path("exploited"),)


def test_file_that_is_no_checkpoint_is_rejected(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = (run / "checkpoints" / "best.ckpt").read_bytes()
    files = {
        "truncated": content[: len(content) // 2],
        "text": b"not a checkpoint",
        "empty": b"",
        "pickle": pickle.dumps(Exploit()),
    }
    for name, bytes_ in files.items():
        (tmp_path / name).write_bytes(bytes_)
        line = rejection(tmp_path / name)
        assert line == f"ckpt_path={name}: must be a checkpoint of this program: damaged, or another program wrote it"
    torch.save({"state_dict": {}}, tmp_path / "foreign")
    assert (
        rejection(tmp_path / "foreign")
        == "ckpt_path=foreign: must be a checkpoint of this program: it has no callbacks"
    )
    torch.save({"state_dict": Exploit()}, tmp_path / "malicious")
    assert rejection(tmp_path / "malicious") == (
        "ckpt_path=malicious: must be a checkpoint of this program: "
        "another program wrote it, with objects that are not loaded"
    )
    assert not (tmp_path / "exploited").exists()


def change(run: Path, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write a checkpoint that is changed, and return its path."""
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    change(content)
    torch.save(content, path)
    return path


def settings_of(content: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = content["callbacks"]["Recorder"]["settings"]
    return settings


@pytest.mark.parametrize(
    "target", ["os.system", "tests.training.user_networks.Plain", "torch.hub.load", "torch.optim.Adam", 3]
)
@pytest.mark.parametrize("group", ["model", "init", "data", "trainer"])
def test_checkpoint_builds_only_what_the_configuration_names(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, target: object
) -> None:
    monkeypatch.chdir(tmp_path)

    def set_target(content: dict[str, Any]) -> None:
        settings_of(content)[group]["_target_"] = target

    assert rejection(change(run, tmp_path / "malicious.ckpt", set_target)) == (
        f"ckpt_path: the checkpoint builds {group}._target_={target}, which no file of the configuration names; "
        "if it is your own, an option in the directory of --config-dir must name it"
    )


@pytest.mark.parametrize(
    "target", ["os.system", "torchmetrics.classification.base.os.system", "torchmetrics.text.BERTScore", 3]
)
def test_checkpoint_builds_no_metric_that_does_more_than_compute(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: object
) -> None:
    monkeypatch.chdir(tmp_path)

    def add_metric(content: dict[str, Any]) -> None:
        settings_of(content)["metrics"] = {"x": {"_target_": target}}

    assert rejection(change(run, tmp_path / "malicious.ckpt", add_metric)).startswith(
        f"ckpt_path: the checkpoint builds metrics.x._target_={target}, which no file of the configuration names; "
    )


EXPLOIT = {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": ["exploited"]}}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (EXPLOIT, "the checkpoint builds GROUP.extra._target_=pathlib.Path.touch"),
        ([EXPLOIT], "the checkpoint builds GROUP.extra.0._target_=pathlib.Path.touch"),
        ((EXPLOIT,), "the checkpoint builds GROUP.extra.0._target_=pathlib.Path.touch"),
        (({"a": (1, (EXPLOIT,))},), "the checkpoint builds GROUP.extra.0.a.1.0._target_=pathlib.Path.touch"),
        ("${oc.create:{_target_:pathlib.Path.touch}}", "the checkpoint's settings are damaged: ${oc.create"),
        ({"${now:}": 1}, "the checkpoint's settings are damaged: ${now:}"),
    ],
)
@pytest.mark.parametrize("group", ["model", "init", "data", "optimizer", "scheduler", "trainer"])
def test_nothing_hidden_in_the_settings_of_a_checkpoint_is_built(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, value: object, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)

    def hide(content: dict[str, Any]) -> None:
        settings_of(content)[group]["extra"] = value

    line = rejection(change(run, tmp_path / "malicious.ckpt", hide))
    assert line.startswith(f"ckpt_path: {problem.replace('GROUP', group)}")
    assert not (tmp_path / "exploited").exists()


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("memory_format", "zzz", "memory_format=zzz: must be one of auto, contiguous, channels_last"),
        ("label_smoothing", 7, "loss.label_smoothing=7: must be a number in [0, 1)"),
        ("model", None, "model"),
        ("optimizer", [], "optimizer"),
    ],
)
def test_damaged_settings_of_a_checkpoint_are_named(
    run: Path, tmp_path: Path, key: str, value: object, problem: str
) -> None:
    def damage(content: dict[str, Any]) -> None:
        settings_of(content)[key] = value
        if key == "label_smoothing":  # of version 0.2, which had no group of losses
            del settings_of(content)["loss"]

    line = rejection(change(run, tmp_path / "damaged.ckpt", damage))
    assert line.startswith(f"ckpt_path: the checkpoint's settings are damaged: {problem}")


def test_images_of_another_machine_are_those_of_the_command(run: Path, tmp_path: Path) -> None:
    def set_root(content: dict[str, Any]) -> None:
        settings_of(content)["data"] = compose_settings("data=fashion_mnist", "data.normalize=true")["data"] | {
            "root": str(tmp_path / "elsewhere")
        }

    path = change(run, tmp_path / "moved.ckpt", set_root)
    assert load(path).settings["data"]["root"] != str(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    assert load(path).settings["data"]["root"] == str(tmp_path / "elsewhere")
    assert load(path, f"data.root={tmp_path}").settings["data"]["root"] == str(tmp_path)


def test_last_checkpoint_of_a_completed_run_replaces_a_lost_best_one(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "best.ckpt").unlink()
    assert load(tmp_path / "run").checkpoint == tmp_path / "run" / "checkpoints" / "last.ckpt"


def test_results_beside_a_checkpoint_are_those_of_its_run(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    results = load(tmp_path / "run").results
    assert results is not None
    assert results.model == "lenet_bn"

    def set_seed(content: dict[str, Any]) -> None:
        settings_of(content)["seed"] = 7

    assert load(change(run, tmp_path / "run" / "checkpoints" / "best.ckpt", set_seed)).results is None


def test_network_without_a_completed_epoch_is_rejected(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def remove_epochs(content: dict[str, Any]) -> None:
        content["callbacks"]["Recorder"]["epochs"] = []

    assert rejection(change(run, tmp_path / "new.ckpt", remove_epochs)) == (
        "ckpt_path=new.ckpt: it was written before the first epoch ended"
    )


def test_class_that_has_moved_within_the_package_is_found(run: Path, tmp_path: Path) -> None:
    def set_target(content: dict[str, Any]) -> None:
        settings_of(content)["model"]["_target_"] = "cnn_experiments.old.place.LeNet"

    assert load(change(run, tmp_path / "old.ckpt", set_target)).settings["model"]["_target_"].endswith("models.LeNet")


def test_weights_of_another_network_are_rejected(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def set_width(content: dict[str, Any]) -> None:
        settings_of(content)["model"]["norm"] = "none"

    assert rejection(change(run, tmp_path / "other.ckpt", set_width)).startswith(
        "ckpt_path=other.ckpt: state_dict lacks features.3.bias, "
    )
