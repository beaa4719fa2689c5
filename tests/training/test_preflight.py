"""Tests that every option is accepted, and that settings that cannot work are rejected."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.config.sources import CONF, find_options
from cnn_experiments.errors import ConfigError
from cnn_experiments.training import build, preflight
from cnn_experiments.training.preflight import check_parts, check_training
from tests.conftest import PUBLISHED_DATA, compose_settings


def options(group: str) -> list[str]:
    return find_options(group, [CONF])


NAMES_OF_EXTERNAL_MODELS = {"timm": ("model.name=resnet10t",), "torchvision": ("model.name=squeezenet1_1",)}


@pytest.mark.parametrize("model", [name for name in options("model") if name != "timm" or find_spec("timm")])
@pytest.mark.parametrize("data", PUBLISHED_DATA)
def test_every_network_accepts_every_data_set(model: str, data: str) -> None:
    name = NAMES_OF_EXTERNAL_MODELS.get(model, ())
    check_training(compose_settings(f"model={model}", *name, f"data={data}", "data.resize=96", "data.batch_size=16"))


@pytest.mark.parametrize(("optimizer", "scheduler"), list(product(options("optimizer"), options("scheduler"))))
def test_every_scheduler_accepts_every_optimizer(optimizer: str, scheduler: str) -> None:
    check_training(compose_settings(f"optimizer={optimizer}", f"scheduler={scheduler}"))


@pytest.mark.parametrize("trainer", sorted(set(options("trainer")) - {"gpu"}))
def test_every_trainer_is_accepted(trainer: str) -> None:
    check_training(compose_settings(f"trainer={trainer}"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpu_is_rejected() -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.accelerator=gpu: No supported gpu backend found"):
        check_training(compose_settings("trainer=gpu"))


@pytest.mark.parametrize(
    "override", ["trainer.accelerator=foo", "trainer.precision=foo", "trainer.strategy=foo", "trainer.devices=[0,0]"]
)
def test_setting_that_lightning_rejects_is_named(override: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_training(compose_settings("data=digits", "trainer.accelerator=cpu", override))
    assert str(error.value).replace(" ", "").startswith(f"{override}:")


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["data.resize=15"], "data.resize=15: this network needs images of at least 16 pixels, these have 15; did you mean data.resize=16?"),
        (["data=digits", "data.resize=null"], "data.resize=null: this network needs images of at least 16 pixels, these have 8; did you mean data.resize=16?"),
        (["data.val_size=60000"], "data.val_size=60000: must be below the 60000 training images"),
        (["model.norm=layer"], "model.norm=layer: must be one of none, batch, batch_no_affine, batch_global_stats, scratch"),
        (["model=vgg11", "model.channel_divisor=3"], "model.channel_divisor=3: must divide 64"),
        (["augment=crop", "augment.crop.padding=0"], "augment.crop.padding=0: must be at least 1"),
        (["loss.class_weights=[1,2]"], "loss.class_weights=[1, 2]: must have 10 weights, one for each class"),
        (["loss=focal", "loss.gamma=-1"], "loss.gamma=-1: must be a number >= 0"),
        (["scheduler=onecycle", "scheduler.warmup=2"], "scheduler.warmup=2: must be a fraction of the steps in [0, 1]"),
        (["scheduler.warmup_ratio=1.0"], "scheduler.warmup_ratio=1.0: must be a number in [0, 1)"),
        (["scheduler=multistep", "scheduler.interval=day"], "scheduler.interval=day: must be one of step, epoch"),
        (["scheduler=plateau", "scheduler.factor=2.0"], "scheduler: Factor should be < 1.0."),
        (["scheduler=plateau", "data.val_size=0"], "data.val_size=0: must be >= 1 for ReduceLROnPlateau, which follows monitor=val/acc"),
        (["scheduler=plateau", "data.val_size=0", "data.test_every_epoch=true"], "data.val_size=0: must be >= 1 for ReduceLROnPlateau, which follows monitor=val/acc"),
        (["optimizer=sgd", "optimizer.nesterov=true"], "optimizer: Nesterov momentum requires a momentum and zero dampening"),
        (["optimizer.betas=[0.9]"], "optimizer: IndexError: list index out of range"),
        (["ckpt_path=nowhere"], "ckpt_path=nowhere: must be a checkpoint, or a run's directory with checkpoints/last.ckpt"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_rejected(overrides: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_training(compose_settings(*overrides))
    assert str(error.value) == line


def test_checkpoint_is_rejected_by_a_task_that_trains_nothing() -> None:
    with pytest.raises(ConfigError) as error:
        check_parts(compose_settings("task=inspect", "ckpt_path=nowhere"))
    assert str(error.value) == "ckpt_path=nowhere: must be null for a task that trains nothing"


@pytest.mark.parametrize("target", ["my.Net", "cnn_experiments.models.LeNett"])
def test_missing_class_is_rejected(target: str) -> None:
    with pytest.raises(ConfigError, match=rf"^model\._target_={target}: .*"):
        check_training(compose_settings(f"model._target_={target}"))


def settings_of_user_network(tmp_path: Path, name: str) -> dict[str, Any]:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "own.yaml").write_text(
        f"_target_: tests.training.user_networks.{name}\n"
        "in_channels: ${data.channels}\n"
        "num_classes: ${data.classes}\n"
    )
    return compose_settings("model=own", f"hydra.searchpath=[file://{tmp_path}]")


@pytest.mark.parametrize("name", ["FixedSize", "NeedsValuesToBuild", "NeedsValuesInTraining", "ChangesItsInput"])
def test_user_network_may_restrict_its_images_and_need_values(tmp_path: Path, name: str) -> None:
    settings = settings_of_user_network(tmp_path, name)
    check_training(settings)
    settings["data"]["resize"] = 32
    with pytest.raises(ConfigError, match=r"^model: does not fit images of 1 x 32 x 32 in 10 classes: RuntimeError"):
        check_training(settings)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("TooFewClasses", "model: does not fit images of 1 x 28 x 28 in 10 classes: the logits of one image must have the shape (1, 10), not (1, 7)"),
        ("ReturnsTuple", "model: does not fit images of 1 x 28 x 28 in 10 classes: the logits of one image must have the shape (1, 10), not tuple"),
        ("Frozen", "model: does not train: none of its parameters requires a gradient"),
        ("ReturnsTupleInTraining", "model: does not train: the logits of 64 images must have the shape (64, 10), not tuple in training mode"),
        ("ReturnsDictInTraining", "model: does not train: the logits of 64 images must have the shape (64, 10), not dict in training mode"),
        ("ReturnsIntegers", "model: does not fit images of 1 x 28 x 28 in 10 classes: the logits must be floating-point numbers, not int64"),
        ("DoublePrecision", "model: does not train: RuntimeError: mat1 and mat2 must have the same dtype"),
        ("Detached", "model: does not train: its logits do not depend on a parameter that requires a gradient"),
        ("ChangesWhatBackwardNeeds", "model: does not train: RuntimeError: one of the variables needed for gradient computation has been modified by an inplace operation"),
        ("NotANumber", "model: does not train: the logits of a random image are NaN or infinite"),
        ("EndsTheProgram", "model: does not fit images of 1 x 28 x 28 in 10 classes: SystemExit: 3 (user_networks.py:"),
        ("NeedsDarkImages", "model: does not train: ValueError: too bright (user_networks.py:"),
        ("FailsInTheTenthPass", "model: ValueError: exhausted (user_networks.py:"),
        ("FailsInTraining", "model: does not train: AttributeError: 'FailsInTraining' object has no attribute 'missing' (user_networks.py:"),
    ],
)  # fmt: skip
def test_user_network_is_run_before_it_is_trained(tmp_path: Path, name: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_training(settings_of_user_network(tmp_path, name))
    assert str(error.value).startswith(line)


def test_network_is_run_with_the_smallest_batch_of_an_epoch(tmp_path: Path) -> None:
    settings = settings_of_user_network(tmp_path, "NeedsTenImages")
    check_training(settings)  # 55,000 images leave a batch of 216
    settings["data"]["batch_size"] = 6874
    with pytest.raises(ConfigError) as error:
        check_training(settings)
    assert str(error.value).startswith(
        "data.batch_size=6874: leaves batches of 8 images, for which this network fails: ValueError: needs ten images"
    )


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ("data.batch_size=1000000000000", "data.batch_size=1000000000000: must be at most 55000, the number of training images"),
        ("trainer.limit_train_batches=0.001", "trainer.limit_train_batches=0.001: must leave at least one of the 215 batches; did you mean trainer.limit_train_batches=1?"),
        ("trainer.limit_val_batches=0.01", "trainer.limit_val_batches=0.01: must leave at least one of the 20 batches; did you mean trainer.limit_val_batches=1?"),
        ("trainer.limit_test_batches=0.01", "trainer.limit_test_batches=0.01: must leave at least one of the 40 batches; did you mean trainer.limit_test_batches=1?"),
        ("trainer.min_epochs=11", "trainer.min_epochs=11: must be at most trainer.max_epochs=10"),
        ("model.num_classes=1000000000", "model: does not fit images of 1 x 28 x 28 in 10 classes: the logits of one image must have the shape (1, 10), not (1, 1000000000)"),
        ("model=densenet model.depths=[1000000000]", "model: must have at most 50,000 modules and tensors"),
    ],
)  # fmt: skip
def test_senseless_size_is_rejected(overrides: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_training(compose_settings(*overrides.split()))
    assert str(error.value) == line


def test_limits_of_splits_that_are_not_evaluated_are_not_checked() -> None:
    check_training(compose_settings("data.val_size=0", "trainer.limit_val_batches=0.001"))


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ("data.resize=4000000", "data.resize=4000000: one image needs 58.2 TiB; this machine has 8 GiB"),
        ("model=densenet model.growth_rate=100000", "model: needs at least "),
        ("model=vgg11 data.resize=224", "data.batch_size=256: needs at least 13.5 GiB of memory to train on 256 images of 1 x 224 x 224, 11.6 GiB of it for activations; this machine has 8 GiB; data.resize makes images smaller"),
    ],
)  # fmt: skip
def test_run_that_does_not_fit_the_memory_is_rejected(
    monkeypatch: pytest.MonkeyPatch, overrides: str, line: str
) -> None:
    monkeypatch.setattr(preflight, "total_memory", lambda: 8 * 2**30)
    settings = compose_settings("trainer=cpu", *overrides.split())
    with pytest.raises(ConfigError) as error:
        check_training(settings)
    assert str(error.value).startswith(line)


@pytest.mark.parametrize(
    "model", ["lenet_bn", "lenet_bn model.norm=scratch", "lenet_bn model.norm=batch_global_stats", "resnet18"]
)
def test_batch_norm_needs_two_images(model: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^data\.batch_size=1: must be >= 2 for this network: ValueError: .*more than"
    ):
        check_training(compose_settings(*f"model={model} data.batch_size=1".split()))
    check_training(compose_settings("model=lenet", "data.batch_size=1"))


def initialize(model: nn.Module, gains: list[float]) -> None:
    assert type(gains) is list
    raise ArgumentError("gains", gains, "must be > 0")


def test_error_of_a_user_initialization_names_its_setting(tmp_path: Path) -> None:
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "own.yaml").write_text(f"_target_: {__name__}.initialize\n_partial_: true\ngains: [-1.0]\n")
    with pytest.raises(ConfigError) as error:
        check_training(compose_settings("init=own", f"hydra.searchpath=[file://{tmp_path}]"))
    assert str(error.value) == "init.gains=[-1.0]: must be > 0"


def test_resumed_run_must_have_the_settings_of_its_checkpoint(train: Callable[..., Path]) -> None:
    def check_resumed(*overrides: str) -> None:
        check_training(compose_settings("data=digits", "trainer=smoke", f"ckpt_path={directory}", *overrides))

    directory = train("run", "trainer=smoke", "trainer.accelerator=cpu")
    check_resumed("trainer.max_epochs=5", "trainer.accelerator=auto")
    check_resumed("trainer.max_epochs=5", "memory_format=channels_last")
    for override, stored in (
        ("optimizer.lr=0.1", "0.001"),
        ("data.val_size=0", "180"),
        ("model.norm=batch", "none"),
    ):
        line = rf"^{override}: must be {stored}, as in the run that ckpt_path continues$"
        with pytest.raises(ConfigError, match=line):
            check_resumed(override)
    for override, line in (
        ("augment=[crop,flip]", "augment=[crop,flip]: must be none, as in the run that ckpt_path continues"),
        ("callbacks=ema", "callbacks=[ema]: must be none, as in the run that ckpt_path continues"),
    ):
        with pytest.raises(ConfigError) as error:
            check_resumed(override)
        assert str(error.value) == line
    with pytest.raises(ConfigError) as error:
        check_resumed()
    assert str(error.value) == f"trainer.max_epochs=1: must be > 1, the epochs already trained in {directory}"
    with pytest.raises(ConfigError) as error:
        check_resumed("trainer.max_epochs=5", "trainer.max_steps=2")
    assert str(error.value) == f"trainer.max_steps=2: must be > 2, the steps already trained in {directory}"
    (directory / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(ConfigError, match=r": best\.ckpt not found next to the checkpoint$"):
        check_resumed("trainer.max_epochs=5")
    settings = compose_settings("data=digits", "trainer=smoke", f"ckpt_path={directory}")
    check_training(settings, continues_by_itself=True)  # one epoch more is not needed
    for path in ("gone", str(directory.parent)):
        check_training(settings | {"ckpt_path": path}, continues_by_itself=True)
    (directory / "checkpoints" / "last.ckpt").write_text("nonsense")
    with pytest.raises(ConfigError, match=r": must be a checkpoint of this program; .*last\.ckpt: damaged, or"):
        check_training(settings, continues_by_itself=True)
    with pytest.raises(ConfigError, match=r": must be a checkpoint of this program; .*last\.ckpt: damaged, or"):
        check_resumed()


def test_resumed_run_with_a_schedule_must_keep_its_number_of_epochs(train: Callable[..., Path]) -> None:
    directory = train("run", "trainer=smoke", "trainer.accelerator=cpu", "scheduler=cosine")
    overrides = ("data=digits", "trainer=smoke", "scheduler=cosine", f"ckpt_path={directory}", "trainer.max_epochs=2")
    with pytest.raises(ConfigError, match=r"^trainer\.max_epochs=2: must be 1, as in the run"):
        check_training(compose_settings(*overrides))


def test_compile_needs_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"^compile=true: must be false without \S+; CXX names another C\+\+ compiler$"
    ):
        check_training(compose_settings("compile=true"))
    compiler = tmp_path / "mine"
    compiler.touch(mode=0o755)
    monkeypatch.setenv("CXX", f"{compiler} --with=options")
    check_training(compose_settings("compile=true"))


def test_preflight_reads_and_writes_no_data(tmp_path: Path) -> None:
    check_training(compose_settings(f"data.root={tmp_path}"))
    assert list(tmp_path.iterdir()) == []


def test_network_is_probed_once_for_settings_that_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []

    def build_model(settings: Mapping[str, Any]) -> nn.Module:
        built.append(settings["model"]["_target_"])
        return build.build_model(settings)

    monkeypatch.setattr(preflight, "_probed", {})
    monkeypatch.setattr(preflight, "build_model", build_model)
    for overrides in (["optimizer.lr=0.1"], ["optimizer.lr=0.2"], ["data.batch_size=3"], ["init=xavier"]):
        preflight.check_training(compose_settings("data=digits", "trainer=cpu", *overrides))
    assert len(built) == 3


def test_augmentation_in_the_file_of_a_data_set_is_named() -> None:
    settings = compose_settings("data=digits")
    settings["data"]["augment"] = "flip"
    with pytest.raises(ConfigError) as error:
        check_training(settings)
    assert str(error.value) == (
        "data.augment=flip: must be removed from the file of the data set: augmentation is a group, "
        "such as augment=[crop,flip]"
    )


class LazyLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.LazyLinear(1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, targets)


class OptimizerWithoutState(torch.optim.Optimizer):
    def __init__(self, params: Any, lr: float) -> None:
        """Do not call the `__init__` of torch's class."""

    def step(self, closure: Any = None) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("group", "own", "line"),
    [
        (
            "loss",
            {"_target_": f"{__name__}.LazyLoss"},
            f"loss._target_={__name__}.LazyLoss: must not have lazy layers (scale.weight, scale.bias), whose weights do "
            "not exist yet and can't be initialized",
        ),
        (
            "loss",  # torch warns of it; warnings are errors in tests, and one would be the message
            {"_target_": "torch.nn.MSELoss"},
            "loss: RuntimeError: The size of tensor a (10) must match the size of tensor b (20) at non-singleton "
            "dimension 1",
        ),
        (
            "optimizer",
            {"_target_": f"{__name__}.OptimizerWithoutState", "_partial_": True, "lr": 0.1},
            "optimizer: AttributeError: 'OptimizerWithoutState' object has no attribute 'state'",
        ),
    ],
)
def test_own_part_that_is_incomplete_is_rejected_in_one_line(group: str, own: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_training({**compose_settings("data=digits"), group: own})
    assert str(error.value) == line
