"""The chapter's operations against their definitions and against torch's, in values and gradients."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.nn import functional as F

from cnn_experiments.models import scratch
from cnn_experiments.models.scratch import BatchNorm, Conv2d

X = torch.randn(3, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
KERNEL = torch.randn(4, 3, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
KERNEL_1X1 = KERNEL[:, :, :1, :1]

Operation = Callable[..., Tensor]

# ours, by definition, torch's, the tensors they take
OPERATIONS: dict[str, tuple[Operation, Operation, Operation, tuple[Tensor, ...]]] = {
    "corr2d": (
        scratch.corr2d,
        scratch.corr2d_by_definition,
        lambda x, kernel: F.conv2d(x[None, None], kernel[None, None])[0, 0],
        (X[0], KERNEL[0, 0]),
    ),
    "multi_in": (
        scratch.corr2d_multi_in,
        scratch.corr2d_multi_in_by_definition,
        lambda x, kernel: F.conv2d(x[None], kernel[None])[0, 0],
        (X, KERNEL[0]),
    ),
    "multi_in_out": (
        scratch.corr2d_multi_in_out,
        scratch.corr2d_multi_in_out_by_definition,
        lambda x, kernel: F.conv2d(x[None], kernel)[0],
        (X, KERNEL),
    ),
    "1x1": (
        scratch.corr2d_multi_in_out_1x1,
        scratch.corr2d_multi_in_out_by_definition,
        lambda x, kernel: F.conv2d(x[None], kernel)[0],
        (X, KERNEL_1X1),
    ),
    "max": (
        partial(scratch.pool2d, size=(3, 2), mode="max"),
        partial(scratch.pool2d_by_definition, size=(3, 2), mode="max"),
        lambda x: F.max_pool2d(x[None], (3, 2), stride=1)[0],
        (X[0],),
    ),
    "avg": (
        partial(scratch.pool2d, size=(3, 2), mode="avg"),
        partial(scratch.pool2d_by_definition, size=(3, 2), mode="avg"),
        lambda x: F.avg_pool2d(x[None], (3, 2), stride=1)[0],
        (X[0],),
    ),
}


def value_and_gradients(operation: Operation, tensors: tuple[Tensor, ...]) -> list[Tensor]:
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    value = operation(*leaves)
    weights = torch.arange(1.0, value.numel() + 1, dtype=torch.float64).reshape(value.shape)
    return [value.detach(), *torch.autograd.grad((value * weights).sum(), leaves)]


@pytest.mark.parametrize("name", OPERATIONS)
def test_values_and_gradients(name: str) -> None:
    ours, definition, torchs, tensors = OPERATIONS[name]
    expected = value_and_gradients(torchs, tensors)
    for operation in (ours, definition):
        for value, reference in zip(value_and_gradients(operation, tensors), expected, strict=True):
            torch.testing.assert_close(value, reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_by_finite_differences(name: str) -> None:
    ours, _, _, tensors = OPERATIONS[name]
    assert gradcheck(ours, [tensor.clone().requires_grad_() for tensor in tensors])


def test_corr2d_of_the_courses_example() -> None:
    x = torch.arange(9.0).reshape(3, 3)
    kernel = torch.arange(4.0).reshape(2, 2)
    for corr2d in (scratch.corr2d, scratch.corr2d_by_definition):
        assert corr2d(x, kernel).tolist() == [[19, 25], [37, 43]]


def test_pool2d_of_the_courses_example() -> None:
    x = torch.arange(9.0).reshape(3, 3)
    for pool2d in (scratch.pool2d, scratch.pool2d_by_definition):
        assert pool2d(x, (2, 2), "max").tolist() == [[4, 5], [7, 8]]
        assert pool2d(x, (2, 2), "avg").tolist() == [[2, 3], [5, 6]]


def test_max_pool_gives_a_ties_gradient_to_the_first() -> None:
    x = torch.ones(1, 1, 2, 2, requires_grad=True)
    (ours,) = torch.autograd.grad(scratch.pool2d(x, (2, 2), "max").sum(), x)
    (torchs,) = torch.autograd.grad(F.max_pool2d(x, 2).sum(), x)
    assert torch.equal(ours, torchs)


@pytest.mark.parametrize("bias", [True, False])
def test_conv2d_is_torchs_layer(bias: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.Conv2d(3, 4, (2, 3), bias=bias).double()
    ours = Conv2d(3, 4, (2, 3), bias=bias).double()
    assert all(value.abs().max() <= 1 / 18**0.5 for value in ours.parameters())
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(5, 3, 8, 9, dtype=torch.float64, requires_grad=True)
    results = []
    for layer in (ours, theirs):
        scores = layer(images)
        results.append([scores, *torch.autograd.grad(scores.square().sum(), [images, *layer.parameters()])])
    for value, reference in zip(*results, strict=True):
        torch.testing.assert_close(value, reference, rtol=1e-12, atol=1e-12)


def test_an_edge_detector_is_learnt_from_data() -> None:
    """The course's: ones with a dark band, and where they change between one pixel and the next."""
    image = torch.ones(6, 8)
    image[:, 2:6] = 0
    edges = scratch.corr2d(image, torch.tensor([[1.0, -1.0]]))
    assert edges.tolist() == [[0, 1, 0, 0, 0, -1, 0]] * 6
    torch.manual_seed(0)
    layer = Conv2d(1, 1, (1, 2), bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.03)
    for _ in range(100):
        optimizer.zero_grad()
        (layer(image[None, None]) - edges).square().sum().backward()
        optimizer.step()
    assert [round(value, 3) for value in layer.weight.flatten().tolist()] == [1.0, -1.0]


SHAPES = [(8, 5), (4, 5, 3, 2)]


def both(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[BatchNorm, nn.Module, Tensor]:
    """Our layer, torch's with the same gamma and beta, and a batch with a mean of its own."""
    torch.manual_seed(0)
    ours = BatchNorm(shape[1]).to(dtype)
    theirs = (nn.BatchNorm1d(shape[1]) if len(shape) == 2 else nn.BatchNorm2d(shape[1])).to(dtype)
    nn.init.uniform_(ours.weight, 0.5, 2)
    nn.init.uniform_(ours.bias, -1, 1)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    return ours, theirs, torch.randn(shape, dtype=dtype) * 3 + 2


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm_is_torchs(shape: tuple[int, ...]) -> None:
    ours, theirs, batch = both(shape)
    for training in (True, True, False):
        results = []
        for layer in (ours, theirs):
            layer.train(training)
            x = batch.clone().requires_grad_()
            y = layer(x)
            results.append([y, *torch.autograd.grad((y**3).sum(), [x, *layer.parameters()])])
            results[-1] += [layer.get_buffer("running_mean").clone(), layer.get_buffer("running_var").clone()]
        for value, reference in zip(*results, strict=True):
            torch.testing.assert_close(value, reference, rtol=1e-9, atol=1e-9)
        batch = batch + 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norms_gradients_by_finite_differences(shape: tuple[int, ...], training: bool) -> None:
    ours, _, batch = both(shape)
    ours.train(training)

    def normalise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        fresh = BatchNorm(shape[1]).double().train(training)
        return torch.func.functional_call(fresh, {"weight": weight, "bias": bias}, x)

    assert gradcheck(normalise, [value.detach().requires_grad_() for value in (batch, ours.weight, ours.bias)])


def test_batch_norms_statistics_are_saved_and_loaded() -> None:
    ours, _, batch = both((4, 5, 3, 2))
    ours(batch)
    state = ours.state_dict()
    assert set(state) == {"weight", "bias", "running_mean", "running_var"}
    assert state["running_mean"].any()
    loaded = BatchNorm(5).double()
    loaded.load_state_dict(state)
    assert torch.equal(loaded.eval()(batch), ours.eval()(batch))


def test_batch_norm_starts_at_mean_zero_and_variance_one() -> None:
    x = torch.randn(4, 5)
    torch.testing.assert_close(BatchNorm(5).eval()(x), x / (1 + 1e-5) ** 0.5)


def test_batch_norm_does_not_learn_statistics_in_eval() -> None:
    ours, _, batch = both((8, 5))
    before = ours.running_mean.clone()
    ours.eval()(batch)
    assert torch.equal(ours.running_mean, before)


@pytest.mark.parametrize("norm", [BatchNorm(5), nn.BatchNorm2d(5)], ids=["scratch", "torch"])
def test_batch_norm_needs_two_values(norm: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"more than (one|1) value"):
        norm(torch.zeros(1, 5, 1, 1))


@pytest.mark.parametrize("buffers", [torch.float32, torch.bfloat16])
def test_batch_norm_of_halves_has_whole_statistics(buffers: torch.dtype) -> None:
    """Where the mean is far from zero, halves would lose everything: images of mean 100 and deviation 3."""
    ours, theirs, batch = both((64, 5, 4, 4), torch.float32)
    halves = (batch + 98).bfloat16()
    results = [layer.to(buffers)(halves) for layer in (ours, theirs)]
    assert [result.dtype for result in results] == [torch.bfloat16] * 2
    precise = nn.functional.batch_norm(
        halves.double(), None, None, ours.weight.double(), ours.bias.double(), training=True
    )
    torch.testing.assert_close(results[0].double(), precise, rtol=2**-8, atol=2**-8)
    torch.testing.assert_close(*results, rtol=0.05, atol=0.05)
    assert ours.running_var.dtype == buffers
    torch.testing.assert_close(ours.running_var, theirs.get_buffer("running_var"))
    torch.testing.assert_close(ours.running_mean, theirs.get_buffer("running_mean"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_batch_norm_on_a_gpu_is_the_same() -> None:
    ours, _, batch = both((64, 5, 4, 4), torch.float32)
    expected = ours(batch)
    ours, _, batch = both((64, 5, 4, 4), torch.float32)
    torch.testing.assert_close(ours.cuda()(batch.cuda()).cpu(), expected)
    assert ours.running_mean.is_cuda
