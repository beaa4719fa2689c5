"""Tests that batch normalization by running statistics has torch's statistics, and constants for its gradient."""

import copy

import pytest
import torch
from torch import Tensor, nn

from cnn_experiments.models.layers import GlobalStatsBatchNorm, norm1d, norm2d
from tests.models.networks import build

SHAPES = [(8, 5), (4, 5, 3, 2)]


def norm_and_torchs(shape: tuple[int, ...]) -> tuple[GlobalStatsBatchNorm, nn.Module]:
    """Return a layer with random parameters and running statistics, and torch's with the same."""
    torch.manual_seed(0)
    norm = GlobalStatsBatchNorm(shape[1]).double()
    for value in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        value.uniform_(0.5, 1.5)
    torch_norm = (nn.BatchNorm1d(shape[1]) if len(shape) == 2 else nn.BatchNorm2d(shape[1])).double()
    torch_norm.load_state_dict(norm.state_dict())
    return norm, torch_norm


def batch_of(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 3 + 2


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_training_normalizes_by_the_statistics_before_the_batch(shape: tuple[int, ...]) -> None:
    norm, torch_norm = norm_and_torchs(shape)
    for seed in range(3):
        batch = batch_of(shape, seed)
        assert torch.equal(norm(batch), torch_norm.eval()(batch))
        torch_norm.train()(batch)  # moves its statistics
        assert torch.equal(norm.running_mean, torch_norm.get_buffer("running_mean"))
        assert torch.equal(norm.running_var, torch_norm.get_buffer("running_var"))


def test_first_batch_moves_statistics_by_a_tenth_and_is_normalized_by_mean_zero_and_variance_one() -> None:
    norm = GlobalStatsBatchNorm(1)
    x = torch.tensor([[1.0], [3.0]])
    torch.testing.assert_close(norm(x), x / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(norm.running_mean, torch.tensor([0.2]))  # 0.9 * 0 + 0.1 * 2
    torch.testing.assert_close(norm.running_var, torch.tensor([1.1]))  # 0.9 * 1 + 0.1 * 2, the unbiased variance
    torch.testing.assert_close(norm(x), (x - 0.2) / (1.1 + 1e-5) ** 0.5)


def test_output_for_an_image_does_not_depend_on_its_batch() -> None:
    norm, torch_norm = norm_and_torchs(SHAPES[1])
    batch = batch_of(SHAPES[1], 0)
    assert torch.equal(copy.deepcopy(norm)(batch)[:1], norm(batch[:1]))
    assert not torch.equal(torch_norm(batch)[:1], torch_norm(batch[:1]))


def test_evaluation_does_not_move_statistics() -> None:
    norm, torch_norm = norm_and_torchs(SHAPES[1])
    batch = batch_of(SHAPES[1], 0)
    assert torch.equal(norm.eval()(batch), torch_norm.eval()(batch))
    assert all(torch.equal(value, torch_norm.state_dict()[name]) for name, value in norm.state_dict().items())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradient_takes_statistics_as_constants(shape: tuple[int, ...]) -> None:
    norm, torch_norm = norm_and_torchs(shape)
    gradients = []
    for layer in (norm.train(), torch_norm.eval()):  # statistics are constants in torch's evaluation
        x = batch_of(shape, 0).requires_grad_()
        gradients.append(torch.autograd.grad((layer(x) ** 3).sum(), [x, *layer.parameters()]))
    for value, expected in zip(*gradients, strict=True):
        assert torch.equal(value, expected)


def test_bias_before_it_has_a_gradient_and_before_batch_norm_has_none() -> None:
    norm, torch_norm = norm_and_torchs((8, 5))
    gradients = []
    for layer in (norm, torch_norm):
        bias = torch.zeros(5, dtype=torch.float64, requires_grad=True)
        gradients += torch.autograd.grad((layer(batch_of((8, 5), 0) + bias) ** 3).sum(), bias)
    assert gradients[0].abs().min() > 1
    torch.testing.assert_close(gradients[1], torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-10)


def test_statistics_of_half_precision_are_those_of_torch() -> None:
    batch = batch_of((64, 5, 4, 4), 0).bfloat16()
    norm, torch_norm = GlobalStatsBatchNorm(5), nn.BatchNorm2d(5)
    assert norm(batch).dtype == torch.bfloat16
    torch_norm(batch)
    assert torch.equal(norm.running_var, torch_norm.running_var)
    assert norm.running_var.dtype == torch.float32


def test_one_value_per_channel_is_rejected_in_training_alone() -> None:
    norm = GlobalStatsBatchNorm(5)
    with pytest.raises(ValueError, match="more than 1 value"):
        norm(torch.zeros(1, 5, 1, 1))
    assert norm.eval()(torch.zeros(1, 5, 1, 1)).shape == (1, 5, 1, 1)


@pytest.mark.parametrize(
    ("norm", "layer_2d", "layer_1d"),
    [
        ("none", [], []),
        ("batch", [nn.BatchNorm2d], [nn.BatchNorm1d]),
        ("batch_global_stats", [GlobalStatsBatchNorm], [GlobalStatsBatchNorm]),
    ],
)
def test_choice_is_a_layer_for_convolutions_and_one_for_linear_layers(
    norm: str, layer_2d: list[type[nn.Module]], layer_1d: list[type[nn.Module]]
) -> None:
    assert [type(layer) for layer in norm2d(norm, 3)] == layer_2d
    assert [type(layer) for layer in norm1d(norm, 3)] == layer_1d


@pytest.mark.parametrize(("model", "num_norms"), [("lenet", 4), ("vgg11", 8), ("googlenet", 57)])
def test_networks_with_a_norm_take_it_at_every_place(model: str, num_norms: int) -> None:
    networks = [build(f"model={model} model.norm={norm}", device="meta") for norm in ("batch", "batch_global_stats")]
    assert sum(isinstance(module, GlobalStatsBatchNorm) for module in networks[1].modules()) == num_norms
    states = [{name: value.shape for name, value in network.state_dict().items()} for network in networks]
    assert states[0] == states[1]
