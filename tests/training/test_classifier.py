"""Losses, metrics and the optimizer around a network."""

import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.functional import f1_score

from cnn_experiments.training.classifier import Classifier
from cnn_experiments.training.schedules import cosine
from tests.models.networks import NETWORKS, Facts, build, ids

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
        after_epoch="val",
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
        return module(IMAGES)


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


def wrapped(command: str, memory_format: torch.memory_format, compiled: bool = False) -> Classifier:
    module = Classifier(
        build(command),
        partial(torch.optim.SGD, lr=0.0),
        cosine,
        [str(digit) for digit in range(10)],
        label_smoothing=0.0,
        memory_format=memory_format,
        compiled=compiled,
        after_epoch="val",
    )
    module.eval()
    return module


@pytest.mark.parametrize("facts", NETWORKS, ids=ids)
def test_every_network_gives_the_same_scores_channels_last(facts: Facts) -> None:
    command = f"{facts.overrides} init=kaiming"  # torch's default lets a deep network's scores fade
    images = torch.rand(2, 1, facts.training_size, facts.training_size)
    channels_last = wrapped(command, torch.channels_last)
    weights = [weight for weight in channels_last.model.parameters() if weight.dim() == 4 and min(weight.shape[1:]) > 1]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    inputs: list[Tensor] = []
    channels_last.model.features[1].register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    with torch.no_grad():
        expected = wrapped(command, torch.contiguous_format)(images)
        assert expected.std() > 1e-3
        scale = expected.abs().max().item()
        torch.testing.assert_close(channels_last(images), expected, rtol=1e-4, atol=1e-5 * scale)
    assert inputs[0].is_contiguous(memory_format=torch.channels_last)


def test_inputs_have_the_memory_format_too() -> None:
    seen: list[Tensor] = []
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    network.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    module = Classifier(
        network,
        partial(torch.optim.SGD, lr=0.0),
        cosine,
        NAMES,
        0.0,
        torch.channels_last,
        compiled=False,
        after_epoch="val",
    )
    module(torch.rand(2, 3, 2, 2))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


# The others have the same blocks, more of them.
@pytest.mark.parametrize(
    "facts",
    [facts for facts in NETWORKS if not re.search(r"vgg1[369]|resnet(34|101|152)|densenet[12]", facts.overrides)],
    ids=ids,
)
def test_every_kind_of_network_is_captured_whole(facts: Facts) -> None:
    network = build(facts.overrides)
    images = torch.rand(4, 1, facts.training_size, facts.training_size)
    for training in (True, False):
        torch.compiler.reset()
        network.train(training)
        captured = torch.compile(network, backend="eager", fullgraph=True)
        torch.manual_seed(0)
        expected = network(images)
        torch.manual_seed(0)
        assert torch.equal(captured(images), expected)


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_a_compiled_network_trains_alike_and_its_checkpoint_is_a_plain_networks(tmp_path: Path) -> None:
    command = "model=lenet_bn model.norm=scratch"
    images, labels = torch.rand(12, 1, 28, 28), torch.arange(12) % 10
    batches = DataLoader(TensorDataset(images, labels), batch_size=4)
    trained = []
    for compiled in (False, True):
        module = wrapped(command, torch.contiguous_format, compiled)
        module._optimizer = partial(torch.optim.SGD, lr=0.1)
        module.train()
        fitting = trainer(max_epochs=2)
        fitting.fit(module, batches, batches)
        fitting.save_checkpoint(tmp_path / f"{compiled}.ckpt")
        trained.append(torch.load(tmp_path / f"{compiled}.ckpt", weights_only=True)["state_dict"])
    assert module.model._compiled_call_impl is not None
    assert trained[0].keys() == trained[1].keys()
    for name, value in trained[0].items():
        torch.testing.assert_close(trained[1][name], value, rtol=1e-4, atol=1e-5)
    plain = wrapped(command, torch.contiguous_format)
    plain.load_state_dict(trained[1])
    with torch.no_grad():
        torch.testing.assert_close(plain(images), module.eval()(images), rtol=1e-4, atol=1e-5)
