"""Tests that the operations from scratch have the values and gradients of their definitions and of torch's."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.nn import functional as F

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.models import scratch
from cnn_experiments.models.scratch import BatchNorm, Conv2d

X = torch.randn(3, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
KERNEL = torch.randn(4, 3, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
KERNEL_1X1 = KERNEL[:, :, :1, :1]

Operation = Callable[..., Tensor]

# Operation, naive version, torch's version, and the tensors that they take.
OPERATIONS: dict[str, tuple[Operation, Operation, Operation, tuple[Tensor, ...]]] = {
    "corr2d": (
        scratch.corr2d,
        scratch.corr2d_naive,
        lambda x, kernel, **geometry: F.conv2d(x[None, None], kernel[None, None], **geometry)[0, 0],
        (X[0], KERNEL[0, 0]),
    ),
    "multi_in": (
        scratch.corr2d_multi_in,
        scratch.corr2d_multi_in_naive,
        lambda x, kernel, **geometry: F.conv2d(x[None], kernel[None], **geometry)[0, 0],
        (X, KERNEL[0]),
    ),
    "multi_in_out": (
        scratch.corr2d_multi_in_out,
        scratch.corr2d_multi_in_out_naive,
        lambda x, kernel, **geometry: F.conv2d(x[None], kernel, **geometry)[0],
        (X, KERNEL),
    ),
    "matrix_product": (
        scratch.corr2d_as_matrix_product,
        scratch.corr2d_multi_in_out_naive,
        lambda x, kernel, **geometry: F.conv2d(x[None], kernel, **geometry)[0],
        (X, KERNEL),
    ),
    "1x1": (
        scratch.corr2d_multi_in_out_1x1,
        scratch.corr2d_multi_in_out_naive,
        lambda x, kernel: F.conv2d(x[None], kernel)[0],
        (X, KERNEL_1X1),
    ),
    "max": (
        partial(scratch.pool2d, size=(3, 2), mode="max"),
        partial(scratch.pool2d_naive, size=(3, 2), mode="max"),
        lambda x, stride=1, padding=0: F.max_pool2d(x[None], (3, 2), stride, padding)[0],
        (X[0],),
    ),
    "avg": (
        partial(scratch.pool2d, size=(3, 2), mode="avg"),
        partial(scratch.pool2d_naive, size=(3, 2), mode="avg"),
        lambda x, stride=1, padding=0: F.avg_pool2d(x[None], (3, 2), stride, padding)[0],
        (X[0],),
    ),
}

# Stride and padding, vertical and horizontal. X has 6 x 7 pixels, so that rows or columns are left over at the end.
GEOMETRIES: list[dict[str, tuple[int, int]]] = [
    {"stride": (2, 3)},
    {"padding": (1, 0)},
    {"stride": (3, 2), "padding": (0, 1)},
    {"stride": (2, 2), "padding": (1, 1)},
    {"stride": (4, 5), "padding": (1, 1)},
]
CASES: list[tuple[str, dict[str, tuple[int, int]]]] = [
    *((name, {}) for name in OPERATIONS),
    *((name, geometry) for name in OPERATIONS if name != "1x1" for geometry in GEOMETRIES),
    *((name, {"stride": (1, 2), "padding": (2, 4)}) for name in ("corr2d", "multi_in_out", "matrix_product")),
]


def value_and_gradients(operation: Operation, tensors: tuple[Tensor, ...]) -> list[Tensor]:
    """Return the value of an operation and the gradients of a weighted sum of it."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    value = operation(*leaves)
    weights = torch.arange(1.0, value.numel() + 1, dtype=torch.float64).reshape(value.shape)
    return [value.detach(), *torch.autograd.grad((value * weights).sum(), leaves)]


@pytest.mark.parametrize(("name", "geometry"), CASES)
def test_values_and_gradients_equal_torch(name: str, geometry: dict[str, tuple[int, int]]) -> None:
    operation, naive, reference, tensors = OPERATIONS[name]
    expected = value_and_gradients(partial(reference, **geometry), tensors)
    for function in (operation, naive):
        results = value_and_gradients(partial(function, **geometry), tensors)
        for value, expected_value in zip(results, expected, strict=True):
            torch.testing.assert_close(value, expected_value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("name", "geometry"), CASES)
def test_gradients_equal_finite_differences(name: str, geometry: dict[str, tuple[int, int]]) -> None:
    operation, _, _, tensors = OPERATIONS[name]
    assert gradcheck(partial(operation, **geometry), [tensor.clone().requires_grad_() for tensor in tensors])


@pytest.mark.parametrize("operation", [scratch.corr2d_multi_in_out, scratch.corr2d_as_matrix_product])
def test_correlation_of_a_batch_is_that_of_its_images(operation: Operation) -> None:
    batch = torch.stack([X, X.flip(-1)])
    geometry = {"stride": (2, 3), "padding": (1, 2)}
    expected = torch.stack([scratch.corr2d_multi_in_out_naive(image, KERNEL, **geometry) for image in batch])
    torch.testing.assert_close(operation(batch, KERNEL, **geometry), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("geometry", [{}, *GEOMETRIES, {"stride": (1, 2), "padding": (2, 4)}], ids=str)
def test_unfolded_windows_equal_torch(geometry: dict[str, tuple[int, int]]) -> None:
    batch = torch.stack([X, X.flip(-1)])
    expected = F.unfold(batch, (2, 3), **geometry)
    assert torch.equal(scratch.unfold2d(batch, (2, 3), **geometry), expected)
    assert torch.equal(scratch.unfold2d(batch[1], (2, 3), **geometry), expected[1])


def test_unfolded_windows_of_two_channels() -> None:
    x = torch.arange(12).reshape(2, 2, 3)
    assert scratch.unfold2d(x, (2, 2)).tolist() == [[0, 1], [1, 2], [3, 4], [4, 5], [6, 7], [7, 8], [9, 10], [10, 11]]
    assert scratch.unfold2d(x, (2, 2), stride=(1, 2), padding=(0, 1)).tolist() == [
        [0, 1], [0, 2], [0, 4], [3, 5], [0, 7], [6, 8], [0, 10], [9, 11],
    ]  # fmt: skip


def test_matrix_of_correlation_has_the_kernel_at_the_pixels_of_each_window() -> None:
    assert scratch.corr2d_matrix(torch.tensor([[1, 2], [3, 4]]), 3, 3).tolist() == [
        [1, 2, 0, 3, 4, 0, 0, 0, 0],
        [0, 1, 2, 0, 3, 4, 0, 0, 0],
        [0, 0, 0, 1, 2, 0, 3, 4, 0],
        [0, 0, 0, 0, 1, 2, 0, 3, 4],
    ]


def test_matrix_of_correlation_times_pixels_is_correlation() -> None:
    kernel = KERNEL[0, 0]
    expected = F.conv2d(X[:1], kernel[None, None])[0]
    matrix = scratch.corr2d_matrix(kernel, 6, 7)
    assert matrix.shape == (25, 42)
    torch.testing.assert_close((matrix @ X[0].flatten()).unflatten(0, (5, 5)), expected, rtol=1e-12, atol=1e-12)
    assert gradcheck(lambda kernel: scratch.corr2d_matrix(kernel, 3, 4), kernel.clone().requires_grad_())


def test_edge_detector_is_a_linear_layer() -> None:
    image = torch.ones(6, 8)
    image[:, 2:6] = 0
    state = torch.get_rng_state()
    layer = scratch.corr2d_linear(torch.tensor([[1.0, -1.0]]), 6, 8)
    assert torch.equal(torch.get_rng_state(), state)
    assert [(name, tuple(value.shape)) for name, value in layer.named_parameters()] == [("weight", (42, 48))]
    batch = torch.stack([image, 1 - image]).flatten(1)
    edges = [0, 1, 0, 0, 0, -1, 0] * 6
    assert layer(batch).tolist() == [edges, [-value for value in edges]]
    layer(batch).square().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.any()


@pytest.mark.parametrize("pool2d", [scratch.pool2d, scratch.pool2d_naive])
def test_padding_of_average_is_counted_and_that_of_maximum_is_not(pool2d: Operation) -> None:
    x = -torch.arange(1.0, 5).reshape(2, 2)
    assert pool2d(x, (2, 2), "max", stride=(2, 2), padding=(1, 1)).tolist() == [[-1, -2], [-3, -4]]
    assert pool2d(x, (2, 2), "avg", stride=(2, 2), padding=(1, 1)).tolist() == [[-0.25, -0.5], [-0.75, -1]]


@pytest.mark.parametrize("mode", ["max", "avg"])
@pytest.mark.parametrize(("size", "padding"), [((3, 2), (2, 0)), ((3, 2), (0, 2)), ((1, 1), (1, 1))])
def test_padding_of_more_than_half_a_window_is_rejected(
    size: tuple[int, int], padding: tuple[int, int], mode: str
) -> None:
    for pool2d in (scratch.pool2d, scratch.pool2d_naive):
        with pytest.raises(ArgumentError, match=r"^padding=\(\d, \d\): must be at most half of the window's size, \("):
            pool2d(X[0], size, mode, padding=padding)
    torch_pool = F.max_pool2d if mode == "max" else F.avg_pool2d
    with pytest.raises(RuntimeError, match="at most half"):
        torch_pool(X[:1], size, 1, padding)


IMAGES_AND_KERNELS = [
    ((2, 5, 5), (4, 1, 3, 3)),
    ((1, 5, 5), (4, 3, 3, 3)),
    ((2, 5, 5), (4, 3, 3, 3)),
    ((5, 5), (4, 1, 3, 3)),
]


@pytest.mark.parametrize(("image", "kernels"), IMAGES_AND_KERNELS, ids=str)
def test_kernels_of_other_channels_than_the_images_are_rejected(
    image: tuple[int, ...], kernels: tuple[int, ...]
) -> None:
    problem = f"must have the channels of the images, {image}"
    x = torch.zeros(image)
    for operation in (
        scratch.corr2d_multi_in_out,
        scratch.corr2d_multi_in_out_naive,
        scratch.corr2d_as_matrix_product,
    ):
        with pytest.raises(ArgumentError) as error:
            operation(x, torch.zeros(kernels))
        assert str(error.value) == f"kernels={kernels}: {problem}"
    with pytest.raises(ArgumentError) as error:
        scratch.corr2d_multi_in_out_1x1(x, torch.zeros(kernels)[..., :1, :1])
    assert str(error.value) == f"kernels={(*kernels[:2], 1, 1)}: {problem}"
    for operation in (scratch.corr2d_multi_in, scratch.corr2d_multi_in_naive):
        with pytest.raises(ArgumentError) as error:
            operation(x, torch.zeros(kernels[1:]))
        assert str(error.value) == f"kernel={kernels[1:]}: {problem}"


def test_1x1_convolution_rejects_larger_kernels() -> None:
    with pytest.raises(ArgumentError) as error:
        scratch.corr2d_multi_in_out_1x1(torch.zeros(9, 5, 5), torch.zeros(4, 1, 3, 3))
    assert str(error.value) == "kernels=(4, 1, 3, 3): must be of 1 x 1: (O, C, 1, 1)"


@pytest.mark.parametrize("size", [(8, 3), (3, 10)], ids=str)
def test_window_that_is_larger_than_the_padded_image_is_rejected(size: tuple[int, int]) -> None:
    kernels = torch.zeros(4, 3, *size)
    tensors = {
        "corr2d": (X[0], kernels[0, 0]),
        "multi_in": (X, kernels[0]),
        "multi_in_out": (X, kernels),
        "matrix_product": (X, kernels),
    }
    operations = [partial(OPERATIONS[name][i], *pair, padding=(0, 1)) for name, pair in tensors.items() for i in (0, 1)]
    pools = [partial(pool, X[0], size, "max", padding=(0, 1)) for pool in (scratch.pool2d, scratch.pool2d_naive)]
    for operation in (*operations, *pools, partial(scratch.unfold2d, X, size, padding=(0, 1))):
        with pytest.raises(ValueError, match="does not fit") as error:
            operation()
        assert str(error.value) == f"a window of {size[0]} x {size[1]} does not fit into a padded image of 6 x 9"


@pytest.mark.parametrize("pool2d", [scratch.pool2d, scratch.pool2d_naive])
def test_unknown_pool_mode_is_rejected(pool2d: Operation) -> None:
    with pytest.raises(ArgumentError) as error:
        pool2d(X[0], (2, 2), "mean")
    assert str(error.value) == "mode=mean: must be one of max, avg"


def test_corr2d_of_example_in_course() -> None:
    x = torch.arange(9.0).reshape(3, 3)
    kernel = torch.arange(4.0).reshape(2, 2)
    for corr2d in (scratch.corr2d, scratch.corr2d_naive):
        assert corr2d(x, kernel).tolist() == [[19, 25], [37, 43]]


def test_pool2d_of_example_in_course() -> None:
    x = torch.arange(9.0).reshape(3, 3)
    for pool2d in (scratch.pool2d, scratch.pool2d_naive):
        assert pool2d(x, (2, 2), "max").tolist() == [[4, 5], [7, 8]]
        assert pool2d(x, (2, 2), "avg").tolist() == [[2, 3], [5, 6]]


def test_max_pool_gives_gradient_of_tie_to_first_value() -> None:
    x = torch.ones(2, 2, requires_grad=True)
    pools = [partial(pool, size=(2, 2), mode="max") for pool in (scratch.pool2d, scratch.pool2d_naive)]
    for pool2d in (*pools, lambda x: F.max_pool2d(x[None], 2)):
        (gradient,) = torch.autograd.grad(pool2d(x).sum(), x)
        assert gradient.tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("geometry", [{}, {"stride": (2, 3), "padding": (1, 2)}], ids=str)
def test_conv2d_equals_torch(bias: bool, geometry: dict[str, tuple[int, int]]) -> None:
    torch.manual_seed(0)
    torch_conv = nn.Conv2d(3, 4, (2, 3), bias=bias, **geometry).double()
    conv = Conv2d(3, 4, (2, 3), bias=bias, **geometry).double()
    assert all(value.abs().max() <= 1 / 18**0.5 for value in conv.parameters())
    conv.load_state_dict(torch_conv.state_dict())
    images = torch.randn(5, 3, 8, 9, dtype=torch.float64, requires_grad=True)
    results = []
    for layer in (conv, torch_conv):
        output = layer(images)
        results.append([output, *torch.autograd.grad(output.square().sum(), [images, *layer.parameters()])])
    for value, expected in zip(*results, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)


def test_conv2d_learns_edge_detector() -> None:
    """Learn the example of the course: a white image with a dark band, and the edges of the band."""
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


def batch_norms(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[BatchNorm, nn.Module, Tensor]:
    """Return our batch norm, torch's with the same weight and bias, and a batch whose mean is not zero."""
    torch.manual_seed(0)
    norm = BatchNorm(shape[1]).to(dtype)
    torch_norm = (nn.BatchNorm1d(shape[1]) if len(shape) == 2 else nn.BatchNorm2d(shape[1])).to(dtype)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias, -1, 1)
    torch_norm.load_state_dict(norm.state_dict(), strict=False)
    return norm, torch_norm, torch.randn(shape, dtype=dtype) * 3 + 2


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_norm_equals_torch(shape: tuple[int, ...]) -> None:
    norm, torch_norm, batch = batch_norms(shape)
    for training in (True, True, False):
        results = []
        for layer in (norm, torch_norm):
            layer.train(training)
            x = batch.clone().requires_grad_()
            y = layer(x)
            results.append([y, *torch.autograd.grad((y**3).sum(), [x, *layer.parameters()])])
            results[-1] += [layer.get_buffer("running_mean").clone(), layer.get_buffer("running_var").clone()]
        for value, expected in zip(*results, strict=True):
            torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)
        batch = batch + 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_batch_norm_equal_finite_differences(shape: tuple[int, ...], training: bool) -> None:
    norm, _, batch = batch_norms(shape)

    def normalize(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        new_norm = BatchNorm(shape[1]).double().train(training)
        return torch.func.functional_call(new_norm, {"weight": weight, "bias": bias}, x)

    assert gradcheck(normalize, [value.detach().requires_grad_() for value in (batch, norm.weight, norm.bias)])


def test_statistics_of_batch_norm_are_saved_and_loaded() -> None:
    norm, _, batch = batch_norms((4, 5, 3, 2))
    norm(batch)
    state = norm.state_dict()
    assert set(state) == {"weight", "bias", "running_mean", "running_var"}
    assert state["running_mean"].any()
    loaded = BatchNorm(5).double()
    loaded.load_state_dict(state)
    assert torch.equal(loaded.eval()(batch), norm.eval()(batch))


def test_batch_norm_starts_at_mean_zero_and_variance_one() -> None:
    x = torch.randn(4, 5)
    torch.testing.assert_close(BatchNorm(5).eval()(x), x / (1 + 1e-5) ** 0.5)


def test_batch_norm_does_not_update_statistics_in_evaluation_mode() -> None:
    norm, _, batch = batch_norms((8, 5))
    mean_before = norm.running_mean.clone()
    norm.eval()(batch)
    assert torch.equal(norm.running_mean, mean_before)


@pytest.mark.parametrize("norm", [BatchNorm(5), nn.BatchNorm2d(5)], ids=["scratch", "torch"])
def test_batch_norm_rejects_one_value_per_channel(norm: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"more than (one|1) value"):
        norm(torch.zeros(1, 5, 1, 1))


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (2, 2, 4, 4), (2, 1), (3,)], ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_rejects_other_channels(shape: tuple[int, ...], training: bool) -> None:
    with pytest.raises(ValueError, match="channels") as error:
        BatchNorm(3).train(training)(torch.zeros(shape))
    assert str(error.value) == f"batch normalization of 3 channels got {shape}"


@pytest.mark.parametrize("buffer_dtype", [torch.float32, torch.bfloat16])
def test_batch_norm_of_half_precision_computes_statistics_in_float32(buffer_dtype: torch.dtype) -> None:
    """Use images with mean 100 and standard deviation 3, whose statistics half precision cannot represent."""
    norm, torch_norm, batch = batch_norms((64, 5, 4, 4), torch.float32)
    images = (batch + 98).bfloat16()
    results = [layer.to(buffer_dtype)(images) for layer in (norm, torch_norm)]
    assert [result.dtype for result in results] == [torch.bfloat16] * 2
    expected = nn.functional.batch_norm(
        images.double(), None, None, norm.weight.double(), norm.bias.double(), training=True
    )
    torch.testing.assert_close(results[0].double(), expected, rtol=2**-8, atol=2**-8)
    torch.testing.assert_close(*results, rtol=0.05, atol=0.05)
    assert norm.running_var.dtype == buffer_dtype
    torch.testing.assert_close(norm.running_var, torch_norm.get_buffer("running_var"))
    torch.testing.assert_close(norm.running_mean, torch_norm.get_buffer("running_mean"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_batch_norm_on_gpu_equals_cpu() -> None:
    norm, _, batch = batch_norms((64, 5, 4, 4), torch.float32)
    expected = norm(batch)
    norm, _, batch = batch_norms((64, 5, 4, 4), torch.float32)
    torch.testing.assert_close(norm.cuda()(batch.cuda()).cpu(), expected)
    assert norm.running_mean.is_cuda
