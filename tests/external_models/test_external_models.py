"""Tests of the networks of timm and torchvision."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from cnn_experiments.analysis.cost import count_parameters
from cnn_experiments.arguments import ArgumentError
from cnn_experiments.errors import ConfigError, RunFailedError
from cnn_experiments.external_models import timm_network, torchvision_network
from cnn_experiments.external_models.weights import loading_weights
from cnn_experiments.training.build import build_model
from cnn_experiments.training.preflight import check_training
from tests.conftest import compose_settings

Build = Callable[[str, int, int, bool, bool], nn.Module]


def timm_or_skip(*arguments: Any) -> nn.Module:
    pytest.importorskip("timm")
    return timm_network(*arguments)


BUILDERS = pytest.mark.parametrize(
    ("build", "name"), [(timm_or_skip, "resnet18"), (torchvision_network, "resnet18")], ids=["timm", "torchvision"]
)


@BUILDERS
@pytest.mark.parametrize("channels", [1, 3])
def test_network_has_the_channels_and_classes_of_the_data(build: Build, name: str, channels: int) -> None:
    with torch.device("meta"):
        network = build(name, channels, 7, False, False)
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    assert first.weight.shape == (64, channels, 7, 7)
    # ResNet-18 has 11,689,512 parameters for 3 channels and 1000 classes.
    assert count_parameters(network) == 11_689_512 - (3 - channels) * 64 * 49 - 993 * 513
    assert network(torch.zeros(2, channels, 64, 64, device="meta")).shape == (2, 7)


@BUILDERS
def test_gray_images_are_repeated_for_the_network_of_color_images(build: Build, name: str) -> None:
    torch.manual_seed(0)
    repeating = build(name, 1, 5, True, False).eval()
    torch.manual_seed(0)
    of_color = build(name, 3, 5, False, False).eval()
    images = torch.rand(2, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(repeating(images), of_color(images.repeat(1, 3, 1, 1)))


def test_first_convolution_for_gray_images_adds_up_the_weights_of_the_channels() -> None:
    torch.manual_seed(0)
    of_gray = torchvision_network("resnet18", 1, 5, False, False).eval()
    torch.manual_seed(0)
    of_color = torchvision_network("resnet18", 3, 5, False, False).eval()
    images = torch.rand(2, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(of_gray(images), of_color(images.repeat(1, 3, 1, 1)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "size"), [("googlenet", 64), ("inception_v3", 96)])
def test_auxiliary_heads_are_off(name: str, size: int) -> None:
    network = torchvision_network(name, 1, 10, False, False)
    assert not any("aux" in parameter.lower() for parameter, _ in network.named_parameters())
    logits = network.train()(torch.rand(2, 1, size, size))
    assert isinstance(logits, Tensor)
    assert logits.shape == (2, 10)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["model=torchvision", "model.name=resnet19"],
            "model.name=resnet19: must be a classification network of torchvision; did you mean resnet18?",
        ),
        (
            ["model=torchvision", "model.name=inception_v3", "data.resize=64"],
            "data.resize=64: this network needs images of at least 75 pixels, these have 64; did you mean data.resize=75?",
        ),
    ],
)
def test_what_does_not_work_is_told_in_one_line(overrides: list[str], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_training(compose_settings("data=digits", *overrides))
    assert str(error.value).startswith(line)


def test_unknown_network_of_timm_is_told_with_the_nearest_one() -> None:
    pytest.importorskip("timm")
    with pytest.raises(ConfigError) as error:
        check_training(compose_settings("data=digits", "model=timm", "model.name=convnext_atoo"))
    assert str(error.value) == "model.name=convnext_atoo: must be a network of timm; did you mean convnext_atto?"


def test_missing_package_is_told_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError) as error:
        build_model(compose_settings("model=timm", "model.name=resnet18"))
    assert str(error.value) == 'model=timm: needs timm: pip install "cnn_experiments[timm]"'


def test_channels_that_cannot_be_repeated_are_rejected() -> None:
    with pytest.raises(ArgumentError) as error:
        torchvision_network("resnet18", 2, 10, True, False)
    assert (
        str(error.value)
        == "repeat_channels=true: must be false for images of 2 channels: only gray ones can be repeated"
    )


def test_pretrained_weights_are_loaded_and_the_last_layer_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def get_model(name: str, weights: object = None, **options: Any) -> nn.Module:
        asked.append(weights)
        return original(name, weights=None, **options)

    original = torchvision.models.get_model
    monkeypatch.setattr(torchvision.models, "get_model", get_model)
    network = torchvision_network("squeezenet1_1", 3, 10, False, True)
    assert asked == ["DEFAULT"]
    assert network(torch.rand(2, 3, 64, 64)).shape == (2, 10)
    with torch.device("meta"):  # a look at the network downloads nothing
        torchvision_network("squeezenet1_1", 3, 10, False, True)
    assert asked == ["DEFAULT", None]


def test_download_that_fails_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> nn.Module:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models, "get_model", fail)
    with pytest.raises(RunFailedError) as error:
        torchvision_network("resnet18", 3, 10, False, True)
    line = "model.pretrained=true: the weights of torchvision's resnet18 could not be loaded: OSError: no route to host"
    assert str(error.value) == line


def test_repeated_requests_of_a_download_are_not_told(caplog: pytest.LogCaptureFixture) -> None:
    client = logging.getLogger("huggingface_hub.utils._http")
    with loading_weights("resnet18", "timm"):
        client.warning("Retrying in 1s [Retry 1/5].")
    assert caplog.messages == []
    client.warning("Something else.")
    assert caplog.messages == ["Something else."]
