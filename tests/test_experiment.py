"""Every option there is, and the combinations that can't work."""

from itertools import product
from pathlib import Path

import pytest
import torch

from cnn_experiments.errors import Refusal
from cnn_experiments.experiment import build_classifier, build_data, build_trainer, check_parts
from cnn_experiments.gate import CONF
from tests.conftest import configured


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("model", options("model"))
@pytest.mark.parametrize("data", options("data"))
def test_every_network_takes_every_data_set(model: str, data: str) -> None:
    config = configured(f"model={model}", f"data={data}")
    check_parts(config)
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
        (["data.augment=flop"], "data.augment=flop: must be one of none, flip, crop_flip; the nearest is flip"),
        (["scheduler=onecycle", "scheduler.warmup=2"], "scheduler.warmup=2: must be a share of the steps, from 0 to 1"),
        (["optimizer=sgd", "optimizer.nesterov=true"], "optimizer: Nesterov momentum requires a momentum and zero dampening"),
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


def test_nothing_is_read_while_checking(tmp_path: Path) -> None:
    check_parts(configured(f"data.root={tmp_path}"))
    assert list(tmp_path.iterdir()) == []
