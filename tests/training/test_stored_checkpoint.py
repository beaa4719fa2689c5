"""Tests of checkpoints that are damaged, foreign, or those of another run: each is found when it is read."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cnn_experiments.errors import ConfigError
from cnn_experiments.training.preflight import check_training
from cnn_experiments.training.stored_checkpoint import CheckpointError, check_restorable, read_checkpoint
from tests.conftest import compose_settings, train_in

OVERRIDES = ("data=digits", "trainer=smoke", "trainer.accelerator=cpu", "model=lenet_bn", "optimizer=adam")
CONTINUED = (*OVERRIDES, "trainer.max_epochs=2")
Content = dict[str, Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a completed run, which no test may change."""
    return train_in(tmp_path_factory.mktemp("stored") / "run", *OVERRIDES)


@pytest.fixture(scope="module")
def continued_settings() -> dict[str, Any]:
    """Return the settings of a run that continues the other one."""
    return compose_settings(*CONTINUED)


@pytest.fixture
def last(run: Path, tmp_path: Path) -> Path:
    """Return a checkpoint that a test may change, beside the best one."""
    for name in ("last.ckpt", "best.ckpt"):
        (tmp_path / name).write_bytes((run / "checkpoints" / name).read_bytes())
    return tmp_path / "last.ckpt"


def rejection(path: Path) -> str:
    """Return the line with which a checkpoint is rejected."""
    with pytest.raises(ConfigError) as error:
        check_training(compose_settings(*CONTINUED, f"ckpt_path={path}"))
    assert error.value.key == "ckpt_path"
    assert "\n" not in str(error.value)
    return error.value.problem


def test_whole_checkpoint_is_restorable(last: Path) -> None:
    settings = compose_settings(*CONTINUED, f"ckpt_path={last}")
    check_training(settings)
    stored = read_checkpoint(last)
    assert stored.num_epochs == 1
    assert stored.fit_seconds is not None
    check_restorable(stored, settings)


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(100_000))


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def make_sparse(path: Path) -> None:
    path.unlink()
    path.touch()
    os.truncate(path, 10**12)


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_link(target: str) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return replace


def write(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def write_zip(path: Path, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", b"text" * 1000)


def zip_of(content: object) -> Callable[[Path], None]:
    return lambda path: torch.save(content, path)


class Foreign:
    """A class that a checkpoint of somebody else refers to."""


def legacy(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


FOREIGN = "another program wrote it"
FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (remove, "must be a checkpoint, or a run's directory"),
    "truncated": (truncate, "damaged, or another program wrote it"),
    "longer": (append, "damaged, or another program wrote it"),
    "bit": (flip_a_bit, "damaged: wrong checksum of "),
    "empty": (write(b""), "damaged, or another program wrote it"),
    "zeros": (write(bytes(10_000)), "damaged, or another program wrote it"),
    "text": (write(b"nonsense"), "damaged, or another program wrote it"),
    "sparse": (make_sparse, "damaged, or another program wrote it"),
    "fifo": (replace_by_fifo, "must be a regular file"),
    "directory": (replace_by_directory, "must be a checkpoint, or a run's directory"),
    "dangling_link": (replace_by_link("nowhere"), "must be a checkpoint, or a run's directory"),
    "loop": (replace_by_link("last.ckpt"), "Too many levels of symbolic links"),
    "device": (replace_by_link("/dev/zero"), "must be a regular file"),
    "pickle": (write(pickle.dumps({"state_dict": {}})), "damaged, or another program wrote it"),
    "legacy": (write(legacy({"state_dict": {}})), "damaged, or another program wrote it"),
    "zip": (write_zip, FOREIGN),
    "compressed_zip": (lambda path: write_zip(path, zipfile.ZIP_DEFLATED), FOREIGN),
    "tensor": (zip_of(torch.zeros(3)), "it holds a Tensor"),
    "list": (zip_of([1, 2]), "it holds a list"),
    "state_dict": (zip_of({"conv.weight": torch.zeros(3)}), "it has no callbacks"),
    "module": (zip_of(torch.nn.Linear(2, 2)), "with objects that are not loaded"),
    "class": (zip_of({"callbacks": Foreign()}), "with objects that are not loaded"),
    "lightning": (zip_of({"state_dict": {}, "callbacks": {"ModelCheckpoint": {}}}), FOREIGN),
}


@pytest.mark.parametrize("kind", FILES)
def test_file_that_is_no_whole_checkpoint_is_named(last: Path, kind: str) -> None:
    change, problem = FILES[kind]
    change(last)
    assert problem in rejection(last)


def history(content: Content) -> Content:
    return content["callbacks"]["Recorder"]  # type: ignore[no-any-return]


def fit_loop(content: Content) -> Content:
    return content["loops"]["fit_loop"]  # type: ignore[no-any-return]


def adam(content: Content) -> Content:
    return content["optimizer_states"][0]  # type: ignore[no-any-return]


def first_weight(content: Content) -> str:
    return next(iter(content["state_dict"]))


CONTENTS: dict[str, tuple[Callable[[Content], object], str]] = {
    **{
        f"no_{key}": (lambda content, key=key: content.pop(key), f"it has no {key}")
        for key in (
            "callbacks",
            "state_dict",
            "optimizer_states",
            "lr_schedulers",
            "loops",
            "epoch",
            "global_step",
            "pytorch-lightning_version",
            "Digits",
        )
    },
    **{
        f"{key}_of_another_type": (
            lambda content, key=key: content.update({key: "text"}),
            f"its {key} is a str, not a ",
        )
        for key in ("callbacks", "state_dict", "optimizer_states", "lr_schedulers", "loops", "epoch", "global_step")
    },
    "version": (lambda content: content.update({"pytorch-lightning_version": "x"}), "version is damaged"),
    "negative_epoch": (lambda content: content.update(epoch=-1), "its epoch is negative"),
    "no_history": (lambda content: content["callbacks"].pop("Recorder"), FOREIGN),
    "no_settings": (lambda content: history(content).pop("settings"), "it has no settings"),
    "settings_with_tensors": (
        lambda content: history(content)["settings"].update(seed=torch.zeros(2)),
        "its settings are damaged",
    ),
    "epochs_no_list": (lambda content: history(content).update(epochs=3), "its epochs is a int, not a list"),
    "epochs_of_text": (lambda content: history(content).update(epochs=["x"]), "its metrics of epoch 1 are damaged"),
    "epoch_missing": (lambda content: history(content)["epochs"].append({"epoch": 3}), "its metrics of epoch 2"),
    "more_epochs": (lambda content: history(content).update(epochs=[]), "its epochs are not those of its progress"),
    "metric_of_text": (
        lambda content: history(content)["epochs"][0].update({"val/acc": "high"}),
        "its metrics of epoch 1 are damaged",
    ),
    "seconds": (lambda content: history(content).update(fit_seconds="long"), "its fit_seconds are damaged"),
    "nan": (
        lambda content: content["state_dict"][first_weight(content)].fill_(torch.nan),
        "its weights are NaN or infinite",
    ),
    "shape": (
        lambda content: content["state_dict"].update({first_weight(content): torch.zeros(2, 2)}),
        "belongs to another network: its shape is (2, 2), not (6, 1, 5, 5)",
    ),
    "integers": (
        lambda content: content["state_dict"].update({first_weight(content): torch.zeros(6, 1, 5, 5).int()}),
        "belongs to another network",
    ),
    "weight_is_text": (
        lambda content: content["state_dict"].update({first_weight(content): "text"}),
        "is a str, not a tensor",
    ),
    "weight_missing": (lambda content: content["state_dict"].pop(first_weight(content)), "state_dict lacks model."),
    "weight_unknown": (
        lambda content: content["state_dict"].update({"model.x": torch.zeros(1)}),
        "state_dict also has model.x",
    ),
    "no_optimizer": (lambda content: content["optimizer_states"].clear(), "must be one dictionary"),
    "optimizer_without_state": (
        lambda content: adam(content)["state"].clear(),
        "its state of the optimizer is missing",
    ),
    "optimizer_of_another_network": (
        lambda content: adam(content)["state"].update({99: {}}),
        "its optimizer has a parameter 99",
    ),
    "moments_of_another_shape": (
        lambda content: adam(content)["state"][0].update(exp_avg=torch.zeros(3)),
        "optimizer.0.exp_avg belongs to another network",
    ),
    "optimizer_state_of_text": (
        lambda content: adam(content)["state"].update({0: "text"}),
        "optimizer.0 is a str, not a dictionary",
    ),
    "moments_missing": (lambda content: adam(content)["state"][0].pop("exp_avg"), "optimizer.0 lacks exp_avg"),
    "infinite_moments": (
        lambda content: adam(content)["state"][0]["exp_avg_sq"].fill_(torch.inf),
        "its state of the optimizer has NaN or infinite values",
    ),
    "groups_missing": (lambda content: adam(content).pop("param_groups"), "it has no param_groups"),
    "groups_of_text": (lambda content: adam(content).update(param_groups=["x"]), "param_groups.0 is a str"),
    "rate_of_text": (lambda content: adam(content)["param_groups"][0].update(lr="x"), "param_groups.0.lr is a str"),
    "schedule": (lambda content: content["lr_schedulers"][0].update(last_epoch="x"), "its last_epoch is a str"),
    "progress_missing": (lambda content: fit_loop(content).pop("epoch_progress"), "it has no epoch_progress"),
    "progress_of_text": (
        lambda content: fit_loop(content)["epoch_loop.batch_progress"]["current"].update(ready="x"),
        "its epoch_loop.batch_progress is damaged",
    ),
    "optimizer_progress": (
        lambda content: fit_loop(content)["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"][
            "total"
        ].update(ready=-1),
        "its progress is damaged",
    ),
    "position": (lambda content: content["Digits"].update(training={"epoch": "x"}), "its position in the data"),
    "loader": (
        lambda content: fit_loop(content)["state_dict"].update(combined_loader="x"),
        "its position in the data",
    ),
    "generators": (
        lambda content: content["callbacks"]["RandomState"].update(torch=torch.zeros(3)),
        "its states of random number generators are damaged",
    ),
    "best_score": (lambda content: content["callbacks"]["BestAndLast"].update(best_score="x"), "its best_score"),
    "no_best_score": (lambda content: content["callbacks"].pop("BestAndLast"), "it has no BestAndLast"),
    "speeds": (lambda content: content["callbacks"]["Throughput"].update(train=["x"]), "its speeds are damaged"),
    "train_metrics": (
        lambda content: content["train_metrics"]["loss"].update(total="x"),
        "train_metrics.loss.total is a str, not a tensor",
    ),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_content_that_a_run_cannot_restore_is_named(last: Path, kind: str, continued_settings: dict[str, Any]) -> None:
    change, problem = CONTENTS[kind]
    content = torch.load(last, weights_only=True)
    change(content)
    torch.save(content, last)
    with pytest.raises(CheckpointError) as error:
        check_restorable(read_checkpoint(last), continued_settings)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [truncate, flip_a_bit, zip_of({"state_dict": {}})])
def test_best_checkpoint_is_checked_as_well(last: Path, change: Callable[[Path], None]) -> None:
    best = last.with_name("best.ckpt")
    change(best)
    assert str(best) in rejection(last)


def test_optimizer_that_keeps_no_state_is_restorable(tmp_path: Path) -> None:
    overrides = (*OVERRIDES[:-1], "optimizer=sgd", "optimizer.momentum=0")
    run = train_in(tmp_path / "run", *overrides)
    settings = compose_settings(*overrides, "trainer.max_epochs=2")
    check_restorable(read_checkpoint(run / "checkpoints" / "last.ckpt"), settings)


def test_optimizer_that_makes_further_state_in_a_later_step_is_restorable(tmp_path: Path) -> None:
    """LBFGS needs a closure, and has the directions of earlier steps only after the first one."""
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "lbfgs.yaml").write_text("_target_: torch.optim.LBFGS\n_partial_: true\nlr: 0.1\n")
    overrides = (*OVERRIDES[:-1], f"hydra.searchpath=[{tmp_path}]", "optimizer=lbfgs")
    run = train_in(tmp_path / "run", *overrides)
    settings = compose_settings(*overrides, "trainer.max_epochs=2")
    check_restorable(read_checkpoint(run / "checkpoints" / "last.ckpt"), settings)
