"""Tests that every network has the properties stated in the papers and in the course."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cnn_experiments.analysis.cost import count_multiply_adds, count_parameters
from cnn_experiments.analysis.probe import ImageSpec, smallest_size
from cnn_experiments.config.sources import CONF
from cnn_experiments.data import transforms
from cnn_experiments.errors import ConfigError
from cnn_experiments.models.scratch import BatchNorm
from cnn_experiments.training.build import build_data
from tests.conftest import compose_settings
from tests.models.networks import ARCHITECTURES, NETWORKS, Facts, Network, build, meta_network, network_id

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, BatchNorm)


@pytest.fixture(scope="module", params=NETWORKS, ids=network_id)
def facts(request: pytest.FixtureRequest) -> Facts:
    """Return the facts of each network in turn."""
    return request.param


@pytest.fixture(scope="module")
def network(facts: Facts) -> Network:
    """Return the network with three channels and eleven classes, built once for all tests, which may train it."""
    return build(f"{facts.overrides} {facts.training_overrides}", channels=3, classes=11)


def output_shapes(network: Network, image: Tensor) -> list[list[int]]:
    """Return the output shape of every stage of features and head, in order."""
    shapes = []
    for stage in [*network.features, *network.head]:
        image = stage(image)
        shapes.append(list(image.shape))
    return shapes


OPTIONS = sorted(path for path in (CONF / "model").glob("*.yaml") if path.stem not in ("timm", "torchvision"))


def test_every_model_option_has_facts() -> None:
    options = {f"model={path.stem}" for path in OPTIONS}
    assert options == {facts.overrides.partition(" ")[0] for facts in NETWORKS}


def test_number_of_parameters(facts: Facts) -> None:
    assert count_parameters(meta_network(facts.overrides)) == facts.parameters


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: path.stem)
def test_first_line_of_config_file_states_number_of_parameters(path: Path) -> None:
    num_parameters = count_parameters(meta_network(f"model={path.stem}"))
    assert f"{num_parameters:,}" in path.read_text().partition("\n")[0]


@pytest.mark.parametrize("facts", [facts for facts in NETWORKS if facts.reference], ids=network_id)
def test_shapes_equal_reference_architecture(facts: Facts) -> None:
    network = meta_network(facts.overrides)
    expected = ARCHITECTURES[str(facts.reference)]
    assert facts.parameters == expected["parameters"]
    assert [list(parameter.shape) for parameter in network.parameters()] == expected["parameter_shapes"]
    shapes = iter(output_shapes(network, torch.zeros(expected["input"], device="meta")))
    assert [shape for shape in expected["stage_output_shapes"] if shape not in shapes] == []


@pytest.mark.parametrize("facts", [facts for facts in NETWORKS if facts.stage_shapes], ids=network_id)
def test_shapes_equal_paper(facts: Facts) -> None:
    for size, expected in facts.stage_shapes.items():
        shapes = iter(output_shapes(meta_network(facts.overrides), torch.zeros(1, 1, size, size, device="meta")))
        assert [shape for shape in expected if [1, *shape] not in shapes] == []


def with_head_for(network: Network, size: int) -> nn.Module:
    """Return the network, of which an MLP head takes the features of an image of `size` pixels without pooling."""
    pool, flatten, hidden, *others = network.head
    if not others or not isinstance(pool, nn.AdaptiveAvgPool2d):
        return network
    num_features = network.features(torch.zeros(1, 1, size, size, device="meta")).numel()
    hidden = nn.Linear(num_features, hidden.out_features, device="meta")
    return nn.Sequential(network.features, flatten, hidden, *others)


@pytest.mark.parametrize(
    ("facts", "size"), [(facts, size) for facts in NETWORKS for size in facts.mega_multiply_adds], ids=str
)
def test_multiply_adds_equal_published_table(facts: Facts, size: int) -> None:
    network: nn.Module = meta_network(facts.overrides)
    if size == 96:  # published for heads that fit 96 pixels, with fewer parameters than the table's own column states
        network = with_head_for(meta_network(facts.overrides), size)
    printed = facts.mega_multiply_adds[size]
    decimals = len(printed.partition(".")[2])
    assert f"{count_multiply_adds(network, ImageSpec(1, size, 'meta')) / 1e6:.{decimals}f}" == printed


def test_smallest_size(facts: Facts) -> None:
    network = meta_network(facts.overrides)
    assert smallest_size(network, 1, largest=256, device="meta") == facts.smallest_size
    if facts.smallest_size > 1:
        with pytest.raises(RuntimeError, match=r"[Kk]ernel size|[Oo]utput size"):
            network(torch.zeros(1, 1, facts.smallest_size - 1, facts.smallest_size - 1, device="meta"))


def test_forward_is_head_of_features(facts: Facts, network: Network) -> None:
    network.eval()
    image = torch.rand(1, 3, facts.training_size, facts.training_size)
    with torch.no_grad():
        assert torch.equal(network(image), network.head(network.features(image)))


def test_smallest_image_has_a_logit_per_class(facts: Facts, network: Network) -> None:
    with torch.no_grad():
        assert network.eval()(torch.rand(1, 3, facts.smallest_size, facts.smallest_size)).shape == (1, 11)


def test_gradients_reach_every_parameter(facts: Facts, network: Network) -> None:
    torch.manual_seed(0)
    logits = network.train()(torch.rand(4, 3, facts.training_size, facts.training_size))
    assert logits.shape == (4, 11)
    network.zero_grad()
    cross_entropy(logits, torch.tensor([0, 1, 2, 10])).backward()
    gradients = {key: parameter.grad for key, parameter in network.named_parameters()}
    assert [key for key, gradient in gradients.items() if gradient is None] == []
    # A bias before a batch norm has no effect: its gradient is zero except for rounding.
    is_normalized = any(isinstance(module, NORMS) for module in network.modules())
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    without_effect = {f"{name}.bias" for name in layers[:-1]} if is_normalized else set()
    assert [key for key, gradient in gradients.items() if key not in without_effect and not gradient.any()] == []


@pytest.mark.parametrize(
    ("overrides", "size"),
    [
        ("model=lenet", 28),
        ("model=lenet model.padding=2", 28),
        ("model=alexnet", 224),
        ("model=alexnet model.padding=1", 224),
        ("model=vgg11 model.channel_divisor=8 model.hidden_divisor=8", 224),
    ],
)
def test_pooling_of_head_is_identity_at_size_of_course(overrides: str, size: int) -> None:
    network = build(overrides).eval()
    features = network.features(torch.rand(2, 1, size, size))
    assert isinstance(network.head[0], nn.AdaptiveAvgPool2d)
    assert torch.equal(network.head[0](features), features)


@pytest.mark.parametrize("size", [96, 224])
@pytest.mark.parametrize("overrides", ["model=densenet", "model=vgg11 model.channel_divisor=8 model.hidden_divisor=8"])
def test_ceil_mode_does_not_change_logits_at_sizes_of_course(overrides: str, size: int) -> None:
    network = build(overrides).eval()
    image = torch.rand(1, 1, size, size)
    expected = network(image)
    pools = [module for module in network.modules() if isinstance(module, nn.AvgPool2d | nn.MaxPool2d)]
    assert sum(pool.ceil_mode for pool in pools) >= 3
    for pool in pools:
        pool.ceil_mode = False
    assert torch.equal(network(image), expected)


@pytest.fixture(scope="module")
def fashion_mnist_batch(fashion_mnist_root: Path) -> tuple[Tensor, Tensor]:
    """Return the first 8 training images and their labels."""
    images, labels = build_data(compose_settings(f"data.root={fashion_mnist_root}")).load(train=True)
    return images[:8], labels[:8]


def test_three_steps_on_real_images_lower_loss(
    facts: Facts, network: Network, fashion_mnist_batch: tuple[Tensor, Tensor]
) -> None:
    images, labels = fashion_mnist_batch
    images = transforms.to_float(transforms.resize(images, facts.training_size)).expand(-1, 3, -1, -1)
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.005)
    losses = []
    for _ in range(3):
        loss = cross_entropy(network(images), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        losses.append(cross_entropy(network(images), labels).item())
    assert all(torch.tensor(losses).isfinite())
    assert losses[-1] < losses[0]


def test_output_of_dense_block_begins_with_its_input() -> None:
    features = build("model=densenet").eval().features
    x = torch.rand(1, 64, 6, 6)
    assert torch.equal(features[4](x)[:, :64], x)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            "model=lenet model.norm=layer",
            "norm=layer: must be one of none, batch, batch_no_affine, batch_global_stats, scratch",
        ),
        (
            "model=lenet model.norm=bath",
            "norm=bath: must be one of none, batch, batch_no_affine, batch_global_stats, scratch; did you mean batch?",
        ),
        *(
            (
                f"model=lenet_bn model.norm_layers={value}",
                f"norm_layers={text}: must be null or a list of increasing numbers from 1 to 4: first the convolutions (2), then the hidden layers (2)",
            )
            for value, text in (
                ("[]", "[]"),
                ("[0,1]", "[0, 1]"),
                ("[5]", "[5]"),
                ("[2,1]", "[2, 1]"),
                ("[1,1]", "[1, 1]"),
                ("[1.5]", "[1.5]"),
                ("[1.0]", "[1.0]"),
                ("[true]", "[True]"),
                ("[[1]]", "[[1]]"),
                ("3", "3"),
                ("all", "all"),
                ("{a:1}", "{'a': 1}"),
            )
        ),
        (
            "model=lenet_bn model.norm_layers=[3] model.hidden_units=[]",
            "norm_layers=[3]: must be null or a list of increasing numbers from 1 to 2: first the convolutions (2), then the hidden layers (0)",
        ),
        (
            "model=lenet model.norm_layers=[1]",
            "norm_layers=[1]: must be null with norm=none, which normalizes nothing",
        ),
        (
            "model=lenet model.norm_position=after_activation",
            "norm_position=after_activation: must be before_activation with norm=none, which normalizes nothing",
        ),
        (
            "model=lenet_bn model.norm_position=after",
            "norm_position=after: must be one of before_activation, after_activation",
        ),
        ("model=lenet model.pool=min", "pool=min: must be one of max, avg, stride"),
        (
            "model=lenet model.activation=rely",
            "activation=rely: must be one of sigmoid, relu, tanh; did you mean relu?",
        ),
        ("model=lenet model.kernel_size=0", "kernel_size=0: must be an integer >= 1"),
        (
            "model=lenet model.kernel_size=10",
            "kernel_size=10: must be smaller, or channels fewer: convolution 2 and its pool leave nothing of an image of 28 pixels",
        ),
        (
            "model=lenet model.channels=[6,16,32]",
            "kernel_size=5: must be smaller, or channels fewer: convolution 3 and its pool leave nothing of an image of 28 pixels",
        ),
        (
            "model=lenet model.pool=stride model.kernel_size=13",
            "kernel_size=13: must be smaller, or channels fewer: convolution 2 leaves nothing of an image of 28 pixels",
        ),
        ("model=lenet model.channels=[]", "channels=[]: must be a list of integers >= 1"),
        ("model=lenet model.channels=[6,0]", "channels=[6, 0]: must be a list of integers >= 1"),
        ("model=lenet model.hidden_units=[120,0]", "hidden_units=[120, 0]: must be a list of integers >= 1"),
        ("model=alexnet model.channel_divisor=3", "channel_divisor=3: must divide 32"),
        ("model=alexnet model.hidden_divisor=3", "hidden_divisor=3: must divide 4096"),
        ("model=nin model.channel_divisor=64", "channel_divisor=64: must divide 32"),
        ("model=nin model.num_1x1_convs=-1", "num_1x1_convs=-1: must be an integer >= 0"),
        ("model=vgg11 model.channel_divisor=3", "channel_divisor=3: must divide 64"),
        ("model=vgg11 model.hidden_divisor=0", "hidden_divisor=0: must divide 4096"),
        ("model=vgg11 model.depths=[1,1]", "depths=[1, 1]: must be a list of 5 integers, one per block"),
        ("model=vgg11 model.depths=[1,1,0,2,2]", "depths=[1, 1, 0, 2, 2]: must be a list of integers >= 1"),
        ("model=vgg11 model.dropout=-0.1", "dropout=-0.1: must be a number in [0, 1]"),
        ("model=inception_v3 model.dropout=1.1", "dropout=1.1: must be a number in [0, 1]"),
        ("model=inception_resnet_v2 model.depths=[1,2]", "depths=[1, 2]: must be a list of 3 integers, one per stage"),
        ("model=inception_resnet_v2 model.depths=[0,1,1]", "depths=[0, 1, 1]: must be a list of integers >= 1"),
        ("model=inception_resnet_v2 model.dropout=-0.1", "dropout=-0.1: must be a number in [0, 1]"),
        ("model=resnet18 model.depths=[]", "depths=[]: must be a list of integers >= 1"),
        ("model=densenet model.depths=5", "depths=5: must be a list of integers >= 1"),
        ("model=inception_resnet_v2 model.depths=5", "depths=5: must be a list of integers >= 1"),
        ("model=lenet model.channels=6", "channels=6: must be a list of integers >= 1"),
        ("model=lenet model.hidden_units=120", "hidden_units=120: must be a list of integers >= 1"),
        ("model=resnet18 model.depths=5", "depths=5: must be a list of integers >= 1"),
        ("model=vgg11 model.depths=5", "depths=5: must be a list of integers >= 1"),
        ("model=densenet model.growth_rate=0", "growth_rate=0: must be an integer >= 1"),
        ("model=lenet model.padding=-1", "padding=-1: must be an integer >= 0"),
        ("model=alexnet model.padding=-1", "padding=-1: must be an integer >= 0"),
        ("model=nin model.dropout=2", "dropout=2: must be a number in [0, 1]"),
        ("model=resnet18 model.version=v3", "version=v3: must be one of course, v1, v2; did you mean v2?"),
        ("model=resnet18 model.stem=5x5", "stem=5x5: must be one of 7x7, 3x3"),
    ],
)
def test_invalid_setting_is_rejected(overrides: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        build(overrides, device="meta")
    assert str(error.value) == f"model.{message}"
