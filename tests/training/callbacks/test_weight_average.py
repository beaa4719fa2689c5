"""Tests that averages of the weights are those of a plain loop, exactly."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.training.callbacks import ExponentialMovingAverage, StochasticWeightAverage, WeightAverage

NUM_STEPS = 30
STEPS_PER_EPOCH = 5


def new_network(norm: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), norm or nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def train(network: nn.Module, average: WeightAverage | None = None) -> list[dict[str, Tensor]]:
    """Train by plain SGD, and return a copy of all weights after each step."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    trainer: Any = SimpleNamespace(global_step=0, is_last_batch=False, current_epoch=0, max_epochs=6)
    module: Any = network
    history = []
    if average is not None:
        average.on_train_start(trainer, module)
    for step in range(NUM_STEPS):
        images, labels = torch.randn(8, 3), torch.randint(2, (8,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
        history.append({name: weight.clone() for name, weight in network.state_dict().items()})
        trainer.current_epoch, place = divmod(step, STEPS_PER_EPOCH)
        trainer.global_step, trainer.is_last_batch = step + 1, place == STEPS_PER_EPOCH - 1
        if average is not None:
            average.on_train_batch_end(trainer, module, None, None, place)
            average.on_train_batch_end(trainer, module, None, None, place)  # of a batch without an optimizer step
    return history


def saved_average(average: WeightAverage, network: nn.Module) -> dict[str, Tensor]:
    trainer: Any = None
    module: Any = network
    checkpoint: dict[str, Any] = {"state_dict": network.state_dict()}
    average.on_save_checkpoint(trainer, module, checkpoint)
    weights: dict[str, Tensor] = checkpoint["state_dict"]
    return weights


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_exponential_moving_average_is_that_of_a_plain_loop(decay: float) -> None:
    average, network = ExponentialMovingAverage(decay), new_network()
    history = train(network, average)
    expected = history[0]
    for step, weights in enumerate(history[1:], start=2):
        kept = min(decay, (1 + step) / (10 + step))
        for name, weight in weights.items():
            if weight.is_floating_point():
                expected[name] = torch.lerp(expected[name], weight, 1 - kept)
            else:
                expected[name] = weight
    assert average.num_averaged == NUM_STEPS
    saved = saved_average(average, network)
    assert saved.keys() == expected.keys() == network.state_dict().keys()
    assert all(torch.equal(saved[name], weight) for name, weight in expected.items())
    assert saved["1.num_batches_tracked"] == NUM_STEPS


@pytest.mark.parametrize(
    ("start", "epochs"), [(1, [0, 1, 2, 3, 4, 5]), (5, [4, 5]), (0.5, [3, 4, 5]), (0.0, [0, 1, 2, 3, 4, 5]), (0.9, [5])]
)
def test_stochastic_weight_average_is_the_mean_of_the_ends_of_epochs(
    monkeypatch: pytest.MonkeyPatch, start: float, epochs: list[int]
) -> None:
    average, network = StochasticWeightAverage(start), new_network(nn.Identity())
    monkeypatch.setattr(average, "_estimate_batch_norm", lambda *_: None)
    history = train(network, average)
    ends = [history[STEPS_PER_EPOCH * (epoch + 1) - 1] for epoch in epochs]
    assert average.num_averaged == len(ends)
    saved = saved_average(average, network)
    for name, weight in network.state_dict().items():
        if weight.is_floating_point():
            torch.testing.assert_close(saved[name], torch.stack([end[name] for end in ends]).mean(dim=0))
    if len(ends) == 1:
        assert all(torch.equal(saved[name], weight) for name, weight in ends[0].items())


def test_average_does_not_change_the_training() -> None:
    history = train(new_network())
    averaged = train(new_network(), ExponentialMovingAverage(0.9))
    assert all(torch.equal(history[-1][name], weight) for name, weight in averaged[-1].items())


def test_network_has_the_average_while_it_is_evaluated() -> None:
    average, network = ExponentialMovingAverage(0.9), new_network()
    last = train(network, average)[-1]
    expected = saved_average(average, network)
    trainer: Any = None
    module: Any = network
    with torch.inference_mode():
        average.on_validation_start(trainer, module)
        assert all(torch.equal(weight, expected[name]) for name, weight in network.state_dict().items())
        assert not torch.equal(last["0.weight"], expected["0.weight"])
        checkpoint: dict[str, Any] = {"state_dict": network.state_dict()}
        average.on_save_checkpoint(trainer, module, checkpoint)
        assert all(torch.equal(checkpoint["weight_average"]["trained"][name], weight) for name, weight in last.items())
        average.on_validation_end(trainer, module)
    assert all(torch.equal(weight, last[name]) for name, weight in network.state_dict().items())
    assert not network.state_dict()["0.weight"].is_inference()


def test_average_of_half_precision_weights_keeps_small_steps() -> None:
    network = nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    average = ExponentialMovingAverage(0.9999)
    trainer: Any = SimpleNamespace(global_step=0)
    module: Any = network
    for step in range(1, 2001):
        network.weight.data.fill_(1.0 if step < 1000 else 1.01)
        trainer.global_step = step
        average.on_train_batch_end(trainer, module, None, None, 0)
    weight = saved_average(average, network)["weight"]
    assert weight.dtype == torch.float32
    assert 1.0 < float(weight) < float(network.weight.detach())


@pytest.mark.parametrize("start", [0, -1, 1.0, 1.5])
def test_start_that_is_no_epoch_and_no_share_is_rejected(start: float) -> None:
    with pytest.raises(ArgumentError, match="must be an epoch, from 1, or a share of the epochs"):
        StochasticWeightAverage(start)


def test_share_of_the_epochs_is_not_rounded_down() -> None:
    average = StochasticWeightAverage(0.29)  # times 100, it is less than 29
    average.check_start(max_epochs=100, num_complete_epochs=30)
    with pytest.raises(ArgumentError, match="epoch 30 is the first that is averaged"):
        average.check_start(max_epochs=100, num_complete_epochs=29)


@pytest.mark.parametrize("decay", [1, 1.5, -0.1])
def test_decay_outside_of_its_range_is_rejected(decay: float) -> None:
    with pytest.raises(ArgumentError, match=r"must be a number in \[0, 1\)"):
        ExponentialMovingAverage(decay)
