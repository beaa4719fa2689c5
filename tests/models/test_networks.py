"""Every network against the facts of the papers and of the course."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cnn_experiments.analysis.cost import count_multiply_adds, count_parameters
from cnn_experiments.analysis.probe import ImageSpec, smallest_size
from cnn_experiments.config.hydra_errors import CONF
from cnn_experiments.data import transforms as pixels
from cnn_experiments.errors import Refusal
from cnn_experiments.models.scratch import BatchNorm
from cnn_experiments.training.build import build_data
from tests.conftest import configured
from tests.models.networks import ARCHITECTURES, NETWORKS, Facts, Network, build, ids

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, BatchNorm)

every_network = pytest.mark.parametrize("facts", NETWORKS, ids=ids)


def stage_shapes(network: Network, image: Tensor) -> list[list[int]]:
    """The output shape of every stage of features and head, in order."""
    shapes = []
    for stage in [*network.features, *network.head]:
        image = stage(image)
        shapes.append(list(image.shape))
    return shapes


def test_every_option_is_in_the_table() -> None:
    options = {f"model={path.stem}" for path in (CONF / "model").glob("*.yaml")}
    assert options == {facts.command.partition(" ")[0] for facts in NETWORKS}


@every_network
def test_number_of_parameters(facts: Facts) -> None:
    assert count_parameters(build(facts.command, device="meta")) == facts.parameters


@pytest.mark.parametrize("path", sorted((CONF / "model").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_file_says_how_many_parameters_its_network_has(path: Path) -> None:
    count = f"{count_parameters(build(f'model={path.stem}', device='meta')):,}"
    assert count in path.read_text().partition("\n")[0]


@pytest.mark.parametrize("facts", [facts for facts in NETWORKS if facts.reference], ids=ids)
def test_shapes_of_the_reference(facts: Facts) -> None:
    network = build(facts.command, device="meta").eval()
    expected = ARCHITECTURES[str(facts.reference)]
    assert facts.parameters == expected["parameters"]
    assert [list(parameter.shape) for parameter in network.parameters()] == expected["parameter_shapes"]
    shapes = iter(stage_shapes(network, torch.zeros(expected["input"], device="meta")))
    assert [shape for shape in expected["stage_output_shapes"] if shape not in shapes] == []


@pytest.mark.parametrize("facts", [facts for facts in NETWORKS if facts.shapes], ids=ids)
def test_shapes_of_the_papers(facts: Facts) -> None:
    network = build(facts.command, device="meta").eval()
    for size, expected in facts.shapes.items():
        shapes = iter(stage_shapes(network, torch.zeros(1, 1, size, size, device="meta")))
        assert [shape for shape in expected if [1, *shape] not in shapes] == []


def fit_hidden_head(network: Network, size: int) -> None:
    """Gives the first hidden layer as many inputs as there are features of an image of `size` pixels."""
    pooling, _, hidden, *others = network.head
    if others and isinstance(pooling, nn.AdaptiveAvgPool2d):
        features = network.features(torch.zeros(1, 1, size, size, device="meta")).flatten(1)
        network.head[0] = nn.Identity()
        network.head[2] = nn.Linear(features.shape[1], hidden.out_features, device="meta")


@pytest.mark.parametrize(("facts", "size"), [(facts, size) for facts in NETWORKS for size in facts.millions], ids=str)
def test_multiply_adds_agree_with_the_published_ones(facts: Facts, size: int) -> None:
    network = build(facts.command, device="meta")
    if size == 96:  # published for heads made for 96 pixels, with fewer parameters than the table's own column says
        fit_hidden_head(network, size)
    printed = facts.millions[size]
    decimals = len(printed.partition(".")[2])
    assert f"{count_multiply_adds(network, ImageSpec(1, size, 'meta')) / 1e6:.{decimals}f}" == printed


@every_network
def test_smallest_input(facts: Facts) -> None:
    network = build(facts.command, device="meta").eval()
    assert smallest_size(network, 1, largest=256, device="meta") == facts.smallest
    if facts.smallest > 1:
        with pytest.raises(RuntimeError, match=r"[Kk]ernel size|[Oo]utput size"):
            network(torch.zeros(1, 1, facts.smallest - 1, facts.smallest - 1, device="meta"))


@every_network
def test_gradients_reach_every_parameter(facts: Facts) -> None:
    """At the smallest input and a useful one, of images with three channels in seven classes."""
    network = build(facts.command, channels=3, classes=7)
    network.eval()
    assert network(torch.rand(1, 3, facts.smallest, facts.smallest)).shape == (1, 7)
    network.train()
    scores = network(torch.rand(4, 3, facts.useful, facts.useful))
    assert scores.shape == (4, 7)
    cross_entropy(scores, torch.tensor([0, 1, 2, 6])).backward()
    gradients = {key: parameter.grad for key, parameter in network.named_parameters()}
    assert [key for key, gradient in gradients.items() if gradient is None] == []
    # A bias in front of a batch norm has no effect, and its gradient is zero but for rounding.
    normalised = any(isinstance(module, NORMS) for module in network.modules())
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    idle = {f"{name}.bias" for name in list(layers)[:-1]} if normalised else set()
    assert [key for key, gradient in gradients.items() if key not in idle and not gradient.any()] == []


@every_network
def test_forward_is_head_of_features(facts: Facts) -> None:
    network = build(facts.command).eval()
    image = torch.rand(1, 1, facts.useful, facts.useful)
    assert torch.equal(network(image), network.head(network.features(image)))


@pytest.mark.parametrize(
    ("command", "size"),
    [
        ("model=lenet", 28),
        ("model=lenet model.padding=2", 28),
        ("model=alexnet", 224),
        ("model=alexnet model.padding=1", 224),
        ("model=vgg11 model.channel_divisor=8 model.hidden_divisor=8", 224),
    ],
)
def test_the_heads_pooling_is_the_identity_at_the_courses_size(command: str, size: int) -> None:
    network = build(command).eval()
    features = network.features(torch.rand(2, 1, size, size))
    pooled = network.head[0](features)
    assert isinstance(network.head[0], nn.AdaptiveAvgPool2d)
    assert torch.equal(pooled, features)


@pytest.mark.parametrize("size", [96, 224])
@pytest.mark.parametrize("command", ["model=densenet", "model=vgg11 model.channel_divisor=8 model.hidden_divisor=8"])
def test_ceil_mode_leaves_the_courses_sizes_as_they_are(command: str, size: int) -> None:
    network = build(command).eval()
    image = torch.rand(1, 1, size, size)
    expected = network(image)
    pools = [module for module in network.modules() if isinstance(module, nn.AvgPool2d | nn.MaxPool2d)]
    assert sum(pool.ceil_mode for pool in pools) >= 3
    for pool in pools:
        pool.ceil_mode = False
    assert torch.equal(network(image), expected)


@pytest.fixture(scope="module")
def clothes(fashion_mnist_root: Path) -> tuple[Tensor, Tensor]:
    """The first 32 training images."""
    images, labels = build_data(configured(f"data.root={fashion_mnist_root}")).load(train=True)
    return images[:32], labels[:32]


@every_network
def test_three_steps_on_real_images_lower_the_loss(facts: Facts, clothes: tuple[Tensor, Tensor]) -> None:
    images = pixels.scale(pixels.resize(clothes[0], facts.useful))
    network = build(facts.command)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    optimizer = torch.optim.SGD(network.parameters(), lr=0.005)
    losses = []
    for _ in range(4):
        loss = cross_entropy(network(images), clothes[1])
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(torch.tensor(losses).isfinite())
    assert losses[-1] < losses[0]


def test_dense_block_keeps_its_input_in_front() -> None:
    features = build("model=densenet").eval().features
    x = torch.rand(1, 64, 6, 6)
    assert torch.equal(features[4](x)[:, :64], x)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("model=lenet model.norm=layer", "norm=layer: must be one of none, batch, scratch"),
        ("model=lenet model.pool=min", "pool=min: must be one of max, avg"),
        ("model=vgg11 model.channel_divisor=3", "channel_divisor=3: must divide 64"),
        ("model=vgg11 model.hidden_divisor=0", "hidden_divisor=0: must divide 4096"),
        ("model=vgg11 model.depths=[1,1]", "depths=[1, 1]: must be 5 numbers, one for each block"),
        (
            "model=vgg11 model.depths=[1,1,0,2,2]",
            "depths=[1, 1, 0, 2, 2]: must be a list of whole numbers of 1 or more",
        ),
        ("model=resnet18 model.depths=[]", "depths=[]: must be a list of whole numbers of 1 or more"),
        ("model=densenet model.growth_rate=0", "growth_rate=0: must be a whole number of 1 or more"),
        ("model=lenet model.padding=-1", "padding=-1: must be a whole number of 0 or more"),
        ("model=alexnet model.padding=-1", "padding=-1: must be a whole number of 0 or more"),
        ("model=nin model.dropout=2", "dropout=2: must be a share from 0 to 1"),
        ("model=resnet18 model.version=v3", "version=v3: must be one of course, v1, v2"),
        ("model=resnet18 model.stem=5x5", "stem=5x5: must be one of 7x7, 3x3"),
    ],
)
def test_what_a_network_is_not(command: str, said: str) -> None:
    with pytest.raises(Refusal, match="^" + re.escape(f"model.{said}")):
        build(command, device="meta")
