"""Tests of probing which images a network accepts, which must not change the network."""

import pytest
import torch

from cnn_experiments.analysis.cost import count_multiply_adds
from cnn_experiments.analysis.probe import ImageSpec, forward_error, probe_image, smallest_size, training_error
from tests.analysis.networks import MULTIPLY_ADDS, SmallNetwork, assert_unchanged


def test_smallest_size() -> None:
    network = SmallNetwork()
    for device in ("meta", "cpu"):
        assert smallest_size(network, channels=3, largest=64, device=device) == 4
        assert smallest_size(network, channels=3, largest=3, device=device) is None


class ValueDependentNetwork(SmallNetwork):
    """A network that reads the values of its images, and rejects small images with an error of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] < 8:
            raise ValueError("too small for me")
        return super().forward(x / max(1.0, x.max().item()))


def test_network_that_reads_values_is_probed_on_cpu() -> None:
    network = ValueDependentNetwork()
    assert "meta" in str(forward_error(network, ImageSpec(3, 10, "meta")))
    assert probe_image(network, channels=3, size=10).device == "cpu"
    assert probe_image(SmallNetwork(), channels=3, size=10).device == "meta"
    assert forward_error(network, ImageSpec(3, 10, "cpu")) is None
    assert smallest_size(network, channels=3, largest=64, device="cpu") == 8
    assert count_multiply_adds(network, ImageSpec(3, 10, "cpu")) == MULTIPLY_ADDS


def test_forward_error_names_line_of_network() -> None:
    error = forward_error(ValueDependentNetwork(), ImageSpec(3, 7, "cpu"))
    assert error == "ValueError: too small for me (test_probe.py:23)"


def test_forward_error_names_wrong_shape_of_logits() -> None:
    network = SmallNetwork()
    assert forward_error(network, ImageSpec(3, 10, "meta"), num_classes=5) is None
    assert (
        forward_error(network, ImageSpec(3, 10, "meta"), num_classes=6)
        == "the logits of one image must have the shape (1, 6), not (1, 5)"
    )


def test_training_error_of_batch_norm_with_one_value() -> None:
    network = SmallNetwork()
    assert training_error(network, ImageSpec(3, 10, "meta"), batch_size=1) is None
    network.head[1] = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(8))
    assert str(training_error(network, ImageSpec(3, 10, "meta"), batch_size=1)).startswith(
        "ValueError: Expected more than 1 value"
    )


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_probing_does_not_change_network(device: str) -> None:
    network = SmallNetwork()
    network.features[1].eval()  # as users do to freeze a batch norm
    with assert_unchanged(network):
        assert forward_error(network, ImageSpec(3, 10, device)) is None
        assert training_error(network, ImageSpec(3, 10, device), batch_size=2) is None
