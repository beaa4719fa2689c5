"""Tests of the loss, the logged metrics and the optimizer of a classifier."""

import re
import shutil
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC
from torchmetrics.functional import auroc, f1_score

from cnn_experiments.models.scratch import BatchNorm
from cnn_experiments.training.classifier import Classifier
from cnn_experiments.training.loss import CrossEntropy
from cnn_experiments.training.schedules import cosine
from tests.models.networks import NETWORKS, Facts, build, network_id

CLASS_NAMES = ("cat", "dog", "T-shirt/top")
DIGITS = [str(digit) for digit in range(10)]
IMAGES = torch.randn(10, 1, 2, 2, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])


def make_classifier(
    network: nn.Module,
    lr: float = 0.0,
    loss: nn.Module | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
    compiled: bool = False,
    class_names: Sequence[str] = CLASS_NAMES,
    metrics: Mapping[str, Metric] | None = None,
) -> Classifier:
    return Classifier(
        network,
        loss or CrossEntropy(label_smoothing=0.0, class_weights=None),
        lambda module: torch.optim.SGD(module.parameters(), lr=lr),
        lambda optimizer, total_steps, _: cosine(optimizer, total_steps),
        "val/acc",
        metrics or {},
        class_names,
        memory_format=memory_format,
        compile_model=compiled,
        eval_split="val",
        max_steps=None,
    )


def linear_classifier(lr: float = 0.0, loss: nn.Module | None = None) -> Classifier:
    torch.manual_seed(0)
    return make_classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), lr, loss)


def make_loader() -> DataLoader[Any]:
    """Return batches of 4, 4 and 2."""
    return DataLoader(TensorDataset(IMAGES, LABELS), batch_size=4)


def make_trainer(**settings: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        **settings,
    )


def logits_of(module: Classifier) -> Tensor:
    with torch.no_grad():
        return module(IMAGES)


def test_test_metrics_are_those_of_all_images_together() -> None:
    module = linear_classifier()
    logits = logits_of(module)
    is_correct = logits.argmax(1) == LABELS
    (metrics,) = make_trainer().test(module, make_loader(), verbose=False)
    assert set(metrics) == {"test/loss", "test/acc", "test/f1", *(f"test/acc/{name}" for name in CLASS_NAMES)}
    assert metrics["test/loss"] == pytest.approx(F.cross_entropy(logits, LABELS).item(), abs=1e-6)
    assert metrics["test/acc"] == pytest.approx(is_correct.float().mean().item())
    assert metrics["test/f1"] == pytest.approx(
        f1_score(logits, LABELS, "multiclass", num_classes=3, average="macro").item()
    )
    for label, name in enumerate(CLASS_NAMES):
        assert metrics[f"test/acc/{name}"] == pytest.approx(is_correct[label == LABELS].float().mean().item())


def test_training_and_validation_log_once_per_epoch() -> None:
    module = linear_classifier(lr=0.0)
    trainer = make_trainer(max_epochs=2)
    trainer.fit(module, make_loader(), make_loader())
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert set(metrics) == {"train/loss", "train/acc", "val/loss", "val/acc", "val/f1", "lr"}
    expected_loss = F.cross_entropy(logits_of(module), LABELS).item()
    assert metrics["train/loss"] == pytest.approx(expected_loss, abs=1e-6)
    assert metrics["val/loss"] == pytest.approx(expected_loss, abs=1e-6)
    assert metrics["train/acc"] == metrics["val/acc"]


class NumLabels(Metric):
    """The number of images; its arguments have names of its own."""

    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, outputs: Tensor, truth: Tensor) -> None:
        assert (outputs.shape[1], outputs.dtype, truth.dtype) == (3, torch.float32, torch.int64)
        self.total += len(truth)

    def compute(self) -> Tensor:
        return self.total


def test_metrics_of_the_configuration_are_those_of_all_images_of_an_evaluation() -> None:
    torch.manual_seed(0)
    top2 = MulticlassAccuracy(3, top_k=2, average="micro")
    metrics = {"top2": top2, "auroc": MulticlassAUROC(3), "type": NumLabels()}  # every module has an attribute type
    module = make_classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), metrics=metrics)
    logits = logits_of(module)
    trainer = make_trainer(max_epochs=2)
    trainer.fit(module, make_loader(), make_loader())
    is_in_top2 = (logits.topk(2).indices == LABELS[:, None]).any(1)
    expected = {
        "top2": is_in_top2.float().mean().item(),
        "auroc": auroc(logits, LABELS, "multiclass", num_classes=3).item(),  # type: ignore[union-attr]
        "type": 10,
    }
    assert 0 < expected["top2"] < 1
    values = {key: value.item() for key, value in trainer.callback_metrics.items()}
    assert {key.partition("/")[2]: value for key, value in values.items() if key[4:] in metrics} == pytest.approx(
        expected
    )
    assert not any(f"train/{name}" in values for name in metrics)
    (tested,) = make_trainer().test(module, make_loader(), verbose=False)
    assert {name: tested[f"test/{name}"] for name in metrics} == pytest.approx(expected)


def test_only_the_training_loss_is_smoothed() -> None:
    module = linear_classifier(loss=CrossEntropy(label_smoothing=0.2, class_weights=None))
    logits = logits_of(module)
    trainer = make_trainer(max_epochs=1)
    trainer.fit(module, make_loader(), make_loader())
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    smoothed_loss = F.cross_entropy(logits, LABELS, label_smoothing=0.2).item()
    assert metrics["train/loss"] == pytest.approx(smoothed_loss, abs=1e-6)
    assert metrics["val/loss"] == pytest.approx(F.cross_entropy(logits, LABELS).item(), abs=1e-6)


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")
def test_schedule_is_stepped_after_every_step_of_the_whole_run() -> None:
    rates: list[float] = []

    class RecordRates(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    trainer = make_trainer(max_epochs=2, callbacks=[RecordRates()])
    trainer.fit(linear_classifier(lr=0.1), make_loader())
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    schedule = cosine(optimizer, 6)
    expected_rates = []
    for _ in range(6):
        expected_rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx(expected_rates)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")
def test_training_step_is_a_step_of_gradient_descent() -> None:
    module = linear_classifier(lr=0.1)
    loss = F.cross_entropy(module(IMAGES), LABELS)
    weight = dict(module.model.named_parameters())["1.weight"]
    (gradient,) = torch.autograd.grad(loss, weight)
    expected_weight = (weight - 0.1 * gradient).detach()
    make_trainer(max_epochs=1).fit(module, DataLoader(TensorDataset(IMAGES, LABELS), batch_size=10))
    assert torch.allclose(dict(module.model.named_parameters())["1.weight"], expected_weight, atol=1e-7)


@pytest.mark.parametrize("facts", NETWORKS, ids=network_id)
def test_channels_last_does_not_change_the_logits(facts: Facts) -> None:
    network = build(f"{facts.overrides} init=kaiming").eval()  # with torch's default, a deep network's logits vanish
    images = torch.rand(2, 1, facts.training_size, facts.training_size)
    with torch.no_grad():
        expected_logits = make_classifier(network, class_names=DIGITS)(images)
        assert expected_logits.std() > 1e-3
        channels_last = make_classifier(network, memory_format=torch.channels_last, class_names=DIGITS)
        weights = [weight for weight in network.parameters() if weight.dim() == 4 and min(weight.shape[1:]) > 1]
        assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
        inputs: list[Tensor] = []
        network.features[1].register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        scale = expected_logits.abs().max().item()
        torch.testing.assert_close(channels_last(images), expected_logits, rtol=1e-4, atol=1e-5 * scale)
    assert inputs[0].is_contiguous(memory_format=torch.channels_last)


def test_images_are_converted_to_the_memory_format() -> None:
    inputs: list[Tensor] = []
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    network.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    make_classifier(network, memory_format=torch.channels_last)(torch.rand(2, 3, 2, 2))
    assert inputs[0].is_contiguous(memory_format=torch.channels_last)


OMITTED = r"vgg1[369]|resnet(34|101|152)|densenet[12]|resnet_v2$"  # have the same blocks as others, only more of them


@pytest.mark.parametrize(
    "facts",
    [facts for facts in NETWORKS if not re.search(OMITTED, facts.overrides)],
    ids=network_id,
)
def test_network_is_captured_as_one_graph(facts: Facts) -> None:
    network = build(facts.overrides)
    images = torch.rand(4, 1, facts.training_size, facts.training_size)
    for training in (True, False):
        torch.compiler.reset()
        network.train(training)
        expected_network = deepcopy(network)  # a forward pass in training mode moves running statistics
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        torch.manual_seed(0)
        expected_logits = expected_network(images)
        torch.manual_seed(0)
        assert torch.equal(compiled(images), expected_logits)


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_compiled_network_trains_like_an_uncompiled_one_and_has_the_same_checkpoint(tmp_path: Path) -> None:
    def make_network() -> nn.Module:
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 4, 3), BatchNorm(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)]
        return nn.Sequential(*layers)

    images, labels = torch.rand(12, 1, 8, 8), torch.arange(12) % 3
    loader = DataLoader(TensorDataset(images, labels), batch_size=4)
    state_dicts = []
    for compiled in (False, True):
        module = make_classifier(make_network(), lr=0.1, compiled=compiled)
        trainer = make_trainer(max_epochs=2)
        trainer.fit(module, loader, loader)
        trainer.save_checkpoint(tmp_path / f"{compiled}.ckpt")
        state_dicts.append(torch.load(tmp_path / f"{compiled}.ckpt", weights_only=True)["state_dict"])
    assert module.model._compiled_call_impl is not None
    assert state_dicts[0].keys() == state_dicts[1].keys()
    for name, tensor in state_dicts[0].items():
        torch.testing.assert_close(state_dicts[1][name], tensor, rtol=1e-4, atol=1e-5)
    plain = make_classifier(make_network()).eval()
    plain.load_state_dict(state_dicts[1])
    with torch.no_grad():
        torch.testing.assert_close(plain(images), module.eval()(images), rtol=1e-4, atol=1e-5)
