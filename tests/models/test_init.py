"""Tests that initial weights have the statistics of their papers."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from cnn_experiments.errors import ConfigError
from cnn_experiments.models import scratch
from cnn_experiments.models.init import kaiming, xavier
from cnn_experiments.training.build import build_model
from tests.conftest import compose_settings


def layers_with_fans(*overrides: str) -> list[tuple[nn.Module, int, int]]:
    """Return the convolutions and linear layers of a network with their fan_in and fan_out."""
    torch.manual_seed(0)
    network = build_model(compose_settings(*overrides))
    layers = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            outputs, inputs = module.weight.shape[:2]
            window = math.prod(module.weight.shape[2:])
            layers.append((module, inputs * window, outputs * window))
    assert len(layers) >= 5
    return layers


@pytest.mark.parametrize("model", ["model=nin", "model=lenet_bn", "model=googlenet"])
def test_xavier_is_uniform_with_variance_of_paper(model: str) -> None:
    default = layers_with_fans(model)
    xavier = layers_with_fans(model, "init=xavier")
    for (layer, fan_in, fan_out), (default_layer, _, _) in zip(xavier, default, strict=True):
        bound = math.sqrt(6 / (fan_in + fan_out))
        weight = layer.weight
        assert weight.abs().max() <= bound  # type: ignore[operator]
        if weight.numel() >= 10_000:  # type: ignore[operator]
            assert weight.abs().max() > 0.999 * bound  # type: ignore[operator]
            assert weight.std().item() == pytest.approx(math.sqrt(2 / (fan_in + fan_out)), rel=0.02)  # type: ignore[operator]
            assert weight.mean().item() == pytest.approx(0, abs=0.05 * bound)  # type: ignore[operator]
        assert not torch.equal(weight, default_layer.weight)  # type: ignore[arg-type]
        assert layer.bias.abs().max() <= 1 / math.sqrt(fan_in)  # type: ignore[operator, union-attr]
        assert layer.bias.any()  # type: ignore[operator, union-attr]


def test_kaiming_is_normal_with_variance_of_paper() -> None:
    for layer, fan_in, _ in layers_with_fans("model=nin", "init=kaiming"):
        weight = layer.weight
        assert not layer.bias.any()  # type: ignore[operator, union-attr]
        if weight.numel() >= 10_000:  # type: ignore[operator]
            std = math.sqrt(2 / fan_in)
            assert weight.std().item() == pytest.approx(std, rel=0.02)  # type: ignore[operator]
            share_within_std = (weight.abs() < std).float().mean()  # type: ignore[operator]
            assert share_within_std.item() == pytest.approx(0.683, abs=0.015)


def test_default_is_initialization_of_torch() -> None:
    for layer, fan_in, _ in layers_with_fans("model=nin"):
        assert 0.9 / math.sqrt(fan_in) < layer.weight.abs().max() <= 1 / math.sqrt(fan_in)  # type: ignore[operator]


def test_batch_norm_is_not_initialized_again() -> None:
    network = build_model(compose_settings("model=lenet_bn", "init=kaiming"))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert len(norms) == 4
    assert all(norm.weight.eq(1).all() and norm.bias.eq(0).all() for norm in norms)


@pytest.mark.parametrize("layer", [nn.Conv1d(4, 4, 3), nn.Conv3d(4, 4, 3), scratch.Conv2d(4, 4, (3, 3), bias=True)])
def test_other_convolutions_are_initialized(layer: nn.Module) -> None:
    nn.init.zeros_(layer.weight)
    xavier(nn.Sequential(layer))
    assert layer.weight.all()


@pytest.mark.parametrize("init", [xavier, kaiming])
def test_computed_weight_is_rejected(init: Callable[[nn.Module], None]) -> None:
    network = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)))
    with pytest.raises(
        ValueError, match=r"^0\.weight is computed from other parameters and cannot be initialized; use init=default$"
    ):
        init(network)


class LazyNetwork(nn.Sequential):
    """A network that takes its shapes from the first image."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(nn.Flatten(), nn.LazyLinear(num_classes))


@pytest.mark.parametrize("init", ["default", "xavier"])
def test_lazy_layers_are_rejected(init: str) -> None:
    settings = compose_settings(f"init={init}")
    settings["model"] = {"_target_": f"{__name__}.LazyNetwork", "in_channels": 1, "num_classes": 10}
    with pytest.raises(ConfigError) as error:
        build_model(settings)
    assert str(error.value) == (
        f"model._target_={__name__}.LazyNetwork: must not have lazy layers (1.weight, 1.bias), "
        "whose weights do not exist yet and can't be initialized"
    )
