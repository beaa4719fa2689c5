"""Tests that Inception-ResNet v2 returns the same logits as that of timm with the same weights."""

import pytest
import torch
from torch import nn

from cnn_experiments.analysis.cost import count_multiply_adds, count_parameters
from cnn_experiments.analysis.probe import ImageSpec
from tests.models.copied_weights import assert_same_logits, assert_same_training_step, randomize_norms
from tests.models.networks import build

timm = pytest.importorskip("timm")


def timm_network() -> nn.Module:
    """Return timm's network with one channel and ten classes, and different statistics for each channel."""
    torch.manual_seed(1)
    network: nn.Module = timm.create_model("inception_resnet_v2", in_chans=1, num_classes=10)
    randomize_norms(network)
    return network.eval()


def test_same_logits_with_same_weights_at_every_size() -> None:
    assert_same_logits("model=inception_resnet_v2", timm_network(), sizes=(75, 131, 299))


def test_trains_as_in_timm() -> None:
    assert_same_training_step("model=inception_resnet_v2", timm_network(), size=96)


def test_same_parameters_and_multiply_adds_for_imagenet() -> None:
    with torch.device("meta"):
        reference = timm.create_model("inception_resnet_v2")
    network = build("model=inception_resnet_v2", channels=3, classes=1000, device="meta")
    image = ImageSpec(3, 299, "meta")
    assert count_parameters(network) == count_parameters(reference) == 55_843_464
    assert count_multiply_adds(network, image) == count_multiply_adds(reference, image) == 13_155_794_016
