"""Every option there is, and the combinations that can't work."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from torch import nn

from cnn_experiments.config.hydra_errors import CONF
from cnn_experiments.errors import Refusal
from cnn_experiments.training.build import build_classifier, build_data, build_trainer, check_parts
from tests.conftest import configured


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("model", options("model"))
@pytest.mark.parametrize("data", options("data"))
def test_every_network_takes_every_data_set(model: str, data: str) -> None:
    check_parts(configured(f"model={model}", f"data={data}", "data.resize=96"))


@pytest.mark.parametrize("data", options("data"))
def test_every_class_has_a_name_and_a_score(data: str) -> None:
    config = configured(f"data={data}")
    images = build_data(config)
    classifier = build_classifier(config, images)
    assert len(images.class_names) == images.classes
    assert classifier(torch.zeros(2, images.channels, images.size, images.size)).shape == (2, images.classes)


@pytest.mark.parametrize(("optimizer", "scheduler"), list(product(options("optimizer"), options("scheduler"))))
def test_every_schedule_takes_every_optimizer(optimizer: str, scheduler: str) -> None:
    check_parts(configured(f"optimizer={optimizer}", f"scheduler={scheduler}"))


@pytest.mark.parametrize("trainer", sorted(set(options("trainer")) - {"gpu"}))
def test_every_trainer(trainer: str) -> None:
    config = configured(f"trainer={trainer}")
    check_parts(config)
    assert build_trainer(config, logger=False).max_epochs == config.trainer.max_epochs


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refusal, match=r"^trainer\.accelerator=gpu: "):
        check_parts(configured("trainer=gpu"))


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["data.resize=15"], "data.resize=15: this network takes images of 16 pixels or more, these have 15; the nearest is data.resize=16"),
        (["data=digits", "data.resize=null"], "data.resize=null: this network takes images of 16 pixels or more, these have 8; the nearest is data.resize=16"),
        (["data.val_size=60000"], "data.val_size=60000: must be below the 60000 training images"),
        (["model.norm=layer"], "model.norm=layer: must be one of none, batch, scratch"),
        (["model=vgg11", "model.channel_divisor=3"], "model.channel_divisor=3: must divide 64"),
        (["data.augment=flop"], "data.augment=flop: must be one of none, flip, crop_flip, crop_flip_erase; did you mean flip?"),
        (["scheduler=onecycle", "scheduler.warmup=2"], "scheduler.warmup=2: must be a share of the steps, from 0 to 1"),
        (["optimizer=sgd", "optimizer.nesterov=true"], "optimizer: Nesterov momentum requires a momentum and zero dampening"),
        (["optimizer.betas=[0.9]"], "optimizer: IndexError: list index out of range"),
        (["task=inspect", "ckpt_path=nowhere"], "ckpt_path=nowhere: must be null for a task that trains nothing"),
        (["ckpt_path=nowhere"], "ckpt_path=nowhere: must be a checkpoint, or a run's folder with checkpoints/last.ckpt"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(overrides: list[str], line: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_parts(configured(*overrides))
    assert str(refused.value) == line


@pytest.mark.parametrize("target", ["my.Net", "cnn_experiments.models.LeNett"])
def test_a_class_that_is_not_there_is_refused(target: str) -> None:
    with pytest.raises(Refusal, match=rf"^model\._target_={target}: .*"):
        check_parts(configured(f"model._target_={target}"))


class OneSize(nn.Sequential):
    """Takes images of 28 pixels and no others."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(in_channels * 28 * 28, num_classes))


class SevenScores(OneSize):
    """Knows no ten classes."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes - 3)


class Pair(OneSize):
    """Returns more than scores."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        return super().forward(x), None


class Unfinished(OneSize):
    """Fails in training alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.missing(x) if self.training else super().forward(x)


class LooksInTraining(OneSize):
    """Can't be trained without values, and may be tried without."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x * (1 + x.mean().item()) if self.training else x)


class NeedsValues(OneSize):
    """Can't be built without memory."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes)
        self.rates = [rate.item() for rate in torch.linspace(0, 1, 3)]


def own(tmp_path: Path, name: str) -> DictConfig:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "own.yaml").write_text(
        f"_target_: {__name__}.{name}\nin_channels: ${{data.channels}}\nnum_classes: ${{data.classes}}\n"
    )
    return configured("model=own", f"hydra.searchpath=[file://{tmp_path}]")


@pytest.mark.parametrize("name", ["OneSize", "NeedsValues", "LooksInTraining"])
def test_a_network_of_ones_own_may_be_choosy(tmp_path: Path, name: str) -> None:
    config = own(tmp_path, name)
    check_parts(config)
    config.data.resize = 32
    with pytest.raises(
        Refusal,
        match=r"^model: does not fit images of 1 x 32 x 32 in 10 classes: RuntimeError",
    ):
        check_parts(config)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("SevenScores", "model: does not fit images of 1 x 28 x 28 in 10 classes: one image's scores must be (1, 10), not (1, 7)"),
        ("Pair", "model: does not fit images of 1 x 28 x 28 in 10 classes: one image's scores must be (1, 10), not tuple"),
        ("Unfinished", "model: does not train: AttributeError: 'Unfinished' object has no attribute 'missing' (test_build.py:"),
    ],
)  # fmt: skip
def test_a_network_of_ones_own_is_tried_first(tmp_path: Path, name: str, line: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_parts(own(tmp_path, name))
    assert str(refused.value).startswith(line)


@pytest.mark.parametrize("model", ["lenet_bn", "lenet_bn model.norm=scratch", "resnet18"])
def test_batch_norm_needs_two_images(model: str) -> None:
    with pytest.raises(
        Refusal, match=r"^data\.batch_size=1: must be 2 or more for this network: ValueError: .*more than"
    ):
        check_parts(configured(*f"model={model} data.batch_size=1".split()))
    check_parts(configured("model=lenet", "data.batch_size=1"))


def draw(model: nn.Module, gains: list[float]) -> None:
    assert type(gains) is list
    raise ValueError(f"gains={gains}: must be above 0")


def test_an_initialisation_of_ones_own_is_named(tmp_path: Path) -> None:
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "own.yaml").write_text(f"_target_: {__name__}.draw\n_partial_: true\ngains: [-1.0]\n")
    with pytest.raises(Refusal) as refused:
        check_parts(configured("init=own", f"hydra.searchpath=[file://{tmp_path}]"))
    assert str(refused.value) == "init.gains=[-1.0]: must be above 0"


def test_a_run_goes_on_with_its_own_settings(train: Callable[..., Path], tmp_path: Path) -> None:
    def check_again(*overrides: str) -> None:
        check_parts(configured("data=digits", "trainer=smoke", f"ckpt_path={folder}", *overrides))

    folder = train("run", "trainer=smoke", "trainer.accelerator=cpu")
    check_again("trainer.max_epochs=5", "trainer.accelerator=auto")
    check_again("trainer.max_epochs=5", "memory_format=channels_last")
    for override, before in (
        ("optimizer.lr=0.1", "0.001"),
        ("data.val_size=0", "180"),
        ("model.norm=batch", "none"),
    ):
        with pytest.raises(Refusal, match=rf"^{override}: must be {before}, as in the run that ckpt_path continues$"):
            check_again(override)
    with pytest.raises(Refusal, match=r"^trainer\.max_epochs=1: must be above the 1 that ckpt_path="):
        check_again()
    (folder / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(Refusal, match=r"that run's best\.ckpt must stand beside it$"):
        check_again("trainer.max_epochs=5")
    (folder / "checkpoints" / "last.ckpt").write_text("nonsense")
    with pytest.raises(Refusal, match=r"must be a checkpoint of this program$"):
        check_again()


def test_a_schedule_keeps_the_epochs_it_was_made_for(train: Callable[..., Path]) -> None:
    folder = train("run", "trainer=smoke", "trainer.accelerator=cpu", "scheduler=cosine")
    with pytest.raises(Refusal, match=r"^trainer\.max_epochs=2: must be 1, as in the run"):
        check_parts(
            configured(
                "data=digits", "trainer=smoke", "scheduler=cosine", f"ckpt_path={folder}", "trainer.max_epochs=2"
            )
        )


def test_settings_for_speed_reach_the_classifier() -> None:
    config = configured("compile=true", "memory_format=channels_last", "model=nin", "data.resize=67")
    classifier = build_classifier(config, build_data(config))
    assert classifier.model.features[2][0].weight.is_contiguous(memory_format=torch.channels_last)
    classifier.configure_model()
    assert classifier.model._compiled_call_impl is not None
    torch.compiler.reset()


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        Refusal, match=r"^compile=true: must be false where there is no \S+; CXX names another C\+\+ compiler$"
    ):
        check_parts(configured("compile=true"))
    compiler = tmp_path / "mine"
    compiler.touch(mode=0o755)
    monkeypatch.setenv("CXX", f"{compiler} --with=options")
    check_parts(configured("compile=true"))


def test_nothing_is_read_while_checking(tmp_path: Path) -> None:
    check_parts(configured(f"data.root={tmp_path}"))
    assert list(tmp_path.iterdir()) == []
