"""Losses, metrics and the optimizer around a network."""

from functools import partial
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.functional import f1_score

from cnn_experiments.classifier import Classifier
from cnn_experiments.schedules import cosine

NAMES = ("cat", "dog", "owl")
IMAGES = torch.randn(10, 1, 2, 2, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])


def classifier(lr: float = 0.0, label_smoothing: float = 0.0) -> Classifier:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    return Classifier(
        network,
        partial(torch.optim.SGD, lr=lr),
        cosine,
        NAMES,
        label_smoothing,
        memory_format=torch.contiguous_format,
        compiled=False,
    )


def loader() -> DataLoader[Any]:
    """Batches of 4, 4 and 2."""
    return DataLoader(TensorDataset(IMAGES, LABELS), batch_size=4)


def trainer(**settings: Any) -> pl.Trainer:
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


def scores_of(module: Classifier) -> Tensor:
    with torch.no_grad():
        return module(IMAGES)  # type: ignore[no-any-return]


def test_figures_are_those_of_all_images_together() -> None:
    module = classifier()
    scores = scores_of(module)
    right = scores.argmax(1) == LABELS
    ((tested),) = trainer().test(module, loader(), verbose=False)
    assert tested["test/loss"] == pytest.approx(F.cross_entropy(scores, LABELS).item(), abs=1e-6)
    assert tested["test/acc"] == pytest.approx(right.float().mean().item())
    assert tested["test/f1"] == pytest.approx(
        f1_score(scores, LABELS, "multiclass", num_classes=3, average="macro").item()
    )
    for label, name in enumerate(NAMES):
        assert tested[f"test/acc/{name}"] == pytest.approx(right[label == LABELS].float().mean().item())


def test_training_and_validation_log_once_an_epoch() -> None:
    module = classifier()
    scores = scores_of(module)
    run = trainer(max_epochs=2)
    run.fit(module, loader(), loader())
    metrics = {name: value.item() for name, value in run.callback_metrics.items()}
    assert set(metrics) == {"train/loss", "train/acc", "val/loss", "val/acc", "val/f1", "lr"}
    # with a learning rate of 0 the network stays as it was
    expected = F.cross_entropy(scores, LABELS).item()
    assert metrics["train/loss"] == pytest.approx(expected, abs=1e-6)
    assert metrics["val/loss"] == pytest.approx(expected, abs=1e-6)
    assert metrics["train/acc"] == metrics["val/acc"]


def test_smoothing_is_for_training_alone() -> None:
    module = classifier(label_smoothing=0.2)
    scores = scores_of(module)
    run = trainer(max_epochs=1)
    run.fit(module, loader(), loader())
    smoothed = F.cross_entropy(scores, LABELS, label_smoothing=0.2).item()
    assert run.callback_metrics["train/loss"].item() == pytest.approx(smoothed, abs=1e-6)
    assert run.callback_metrics["val/loss"].item() == pytest.approx(F.cross_entropy(scores, LABELS).item(), abs=1e-6)


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")
def test_the_schedule_spans_the_whole_run_step_by_step() -> None:
    rates: list[float] = []

    class Rates(pl.Callback):
        def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    run = trainer(max_epochs=2, callbacks=[Rates()])
    run.fit(classifier(lr=0.1), loader())
    expected = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    schedule = cosine(expected, 6)
    by_hand = []
    for _ in range(6):
        by_hand.append(expected.param_groups[0]["lr"])
        expected.step()
        schedule.step()
    assert rates == pytest.approx(by_hand)
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")
def test_one_step_is_plain_gradient_descent() -> None:
    module = classifier(lr=0.1)
    scores = module(IMAGES)
    loss = F.cross_entropy(scores, LABELS)
    weight = dict(module.model.named_parameters())["1.weight"]
    (gradient,) = torch.autograd.grad(loss, weight)
    expected = (weight - 0.1 * gradient).detach()
    whole = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=10)
    trainer(max_epochs=1).fit(module, whole)
    assert torch.allclose(dict(module.model.named_parameters())["1.weight"], expected, atol=1e-7)
