"""Tests that the reported results are those of the sources."""

import pytest

from cnn_experiments.report.published.reference import best_reported, load_recipes, load_sources

# Test accuracy after the last epoch: median, 5% and 95% quantile, maximum; builds, builds at chance, seconds per epoch.
DISTRIBUTIONS = {
    "lenet": (0.806, 0.774, 0.824, 0.828, 182, 0, 0.7),
    "lenet_bn_scratch": (0.849, 0.686, 0.887, 0.894, 125, 0, 1.7),
    "lenet_bn": (0.843, 0.741, 0.879, 0.887, 123, 0, 1.0),
    "alexnet": (0.881, 0.873, 0.885, 0.886, 118, 0, 14.5),
    "vgg11": (0.919, 0.911, 0.924, 0.925, 104, 0, 23.5),
    "nin": (0.845, 0.100, 0.878, 0.885, 102, 8, 18.8),
    "googlenet": (0.888, 0.852, 0.897, 0.902, 111, 2, 17.3),
    "resnet18": (0.913, 0.854, 0.922, 0.927, 117, 0, 12.8),
    "densenet": (0.878, 0.782, 0.909, 0.918, 112, 0, 10.9),
}

# Test accuracy after the last epoch of networks without a known error, by source.
REPORTED = {
    "adam/lenet": {"N2": 0.760, "P": 0.749},
    "adam/lenet_bn_scratch": {"N2": 0.855, "P": 0.859},
    "adam/lenet_bn": {"N2": 0.821, "P": 0.734},
    "adam/alexnet": {"N2": 0.906},
    "adam/alexnet_batch128": {"N1": 0.907, "P": 0.902},
    "adam/vgg11_quarter": {"N2": 0.912},
    "adam/vgg11_eighth": {"P": 0.918},
    "adam/nin": {"N2": 0.856},
    "adam/nin_batch128": {"P": 0.831},
    "adam/googlenet": {"P": 0.896},
    "adam/resnet18": {"N2": 0.903},
    "adam/resnet18_96": {"P": 0.926},
    "adam/resnet18_96_one_block": {"N1": 0.921},
    "adam/densenet": {"N2": 0.871},
    "adam/densenet_96": {"P": 0.884},
    "sgd5/lenet": {"M": 0.762, "N3": 0.755},
    "sgd5/alexnet": {"M": 0.867},
    "sgd5/vgg11": {"M": 0.911},
    "sgd5/nin": {"M": 0.828},
    "sgd5/googlenet": {"M": 0.882},
    "sgd5/lenet_bn_scratch": {"M": 0.864},
    "sgd5/lenet_bn": {"M": 0.871},
    "sgd5/resnet18": {"M": 0.917},
    "sgd5/densenet": {"M": 0.915},
}


def test_distributions_of_builds_are_those_of_the_book() -> None:
    distributions = {
        name.removeprefix("book/sgd/"): (
            *(recipe.distribution.median, recipe.distribution.low, recipe.distribution.high, recipe.distribution.best),
            *(recipe.distribution.num_builds, recipe.distribution.num_at_chance, recipe.seconds_per_epoch["B"]),
        )
        for name, recipe in load_recipes().items()
        if recipe.distribution
    }
    assert distributions == DISTRIBUTIONS


def test_single_results_are_those_of_their_sources() -> None:
    reported = {
        name.removeprefix("book/"): {result.source: result.final_accuracy for result in recipe.comparable}
        for name, recipe in load_recipes().items()
        if recipe.reported
    }
    assert reported == REPORTED


def test_results_of_networks_with_a_known_error_are_not_compared() -> None:
    not_compared = {
        (name, result.source): result.final_accuracy
        for name, recipe in load_recipes().items()
        for result in recipe.reported
        if result not in recipe.comparable
    }
    assert not_compared == {
        ("book/adam/lenet_bn_scratch", "N1"): 0.751,
        ("book/adam/vgg11_eighth", "N1"): 0.912,
        ("book/adam/nin_batch128", "N1"): 0.830,
        ("book/adam/googlenet", "N1"): 0.885,
        ("book/adam/googlenet", "N2"): 0.826,
    }


def test_every_source_is_described_and_used() -> None:
    used = {result.source for recipe in load_recipes().values() for result in recipe.reported}
    used |= {source for recipe in load_recipes().values() for source in recipe.seconds_per_epoch}
    assert used == set(load_sources())


def test_sources_without_a_public_address_are_the_three_notebooks() -> None:
    assert {name for name, source in load_sources().items() if source.url is None} == {"N1", "N2", "N3"}


@pytest.mark.parametrize(
    ("name", "band"),
    [
        ("book/sgd/lenet", (0.774, 0.824)),
        ("book/adam/lenet", (0.717, 0.778)),  # .749 - (.806 - .774), .760 + (.824 - .806)
        ("book/adam/resnet18", (0.844, 0.912)),  # .903 - (.913 - .854), .903 + (.922 - .913)
        ("book/sgd5/vgg11", (0.903, 0.916)),
        ("book/adam/nin", (0.823, 0.889)),  # .856 -+ (.878 - .845): the 5% quantile of the builds is at chance
        ("best/lenet", None),
    ],
)
def test_band_extends_single_results_by_the_spread_of_builds(name: str, band: tuple[float, float] | None) -> None:
    assert load_recipes()[name].band == band


@pytest.mark.parametrize(
    ("network", "best"),
    [
        ("LeNet", 0.828),
        ("BN-LeNet", 0.894),
        ("AlexNet", 0.907),
        ("VGG-11", 0.925),
        ("NiN", 0.885),
        ("GoogLeNet", 0.902),
        ("ResNet-18", 0.927),
        ("DenseNet", 0.918),
    ],
)
def test_best_reported_result_of_a_network(network: str, best: float) -> None:
    assert best_reported(network) == best


def test_train_accuracies_are_those_of_the_sources() -> None:
    reported = {name.removeprefix("book/"): recipe.train_accuracies for name, recipe in load_recipes().items()}
    networks = ("lenet", "lenet_bn_scratch", "lenet_bn", "alexnet", "vgg11", "nin", "googlenet", "resnet18", "densenet")
    sgd = (0.824, 0.902, 0.902, 0.880, 0.935, 0.857, 0.906, 0.997, 0.944)
    sgd5 = (0.735, 0.888, 0.889, 0.844, 0.905, 0.803, 0.873, 0.960, 0.923)
    expected = {f"sgd/{network}": [accuracy] for network, accuracy in zip(networks, sgd, strict=True)}
    expected |= {f"sgd5/{network}": [accuracy] for network, accuracy in zip(networks, sgd5, strict=True)}
    assert {name: accuracies for name, accuracies in reported.items() if accuracies} == expected


def test_curves_are_those_of_the_sources() -> None:
    curves = {
        (name.removeprefix("book/"), result.source): result.curve
        for name, recipe in load_recipes().items()
        for result in recipe.reported
        if len(result.curve) > 1
    }
    assert curves == {
        ("adam/lenet", "N2"): [0.587, 0.685, 0.727, 0.744, 0.760],
        ("adam/lenet_bn_scratch", "N2"): [0.827, 0.836, 0.852, 0.866, 0.855],
        ("adam/lenet_bn_scratch", "N1"): [0.444, 0.600, 0.579, 0.503, 0.751],
        ("adam/lenet_bn", "N2"): [0.806, 0.760, 0.810, 0.837, 0.821],
        ("adam/alexnet", "N2"): [0.841, 0.884, 0.894, 0.903, 0.906],
        ("adam/alexnet_batch128", "N1"): [0.856, 0.886, 0.892, 0.902, 0.907],
        ("adam/vgg11_quarter", "N2"): [0.839, 0.873, 0.895, 0.904, 0.912],
        ("adam/vgg11_eighth", "N1"): [0.872, 0.885, 0.896, 0.906, 0.912],
        ("adam/nin", "N2"): [0.726, 0.805, 0.832, 0.843, 0.856],
        ("adam/nin_batch128", "N1"): [0.726, 0.788, 0.802, 0.824, 0.830],
        ("adam/googlenet", "N1"): [0.824, 0.849, 0.871, 0.895, 0.885],
        ("adam/googlenet", "N2"): [0.100, 0.496, 0.726, 0.824, 0.826],
        ("adam/resnet18", "N2"): [0.848, 0.886, 0.873, 0.899, 0.903],
        ("adam/resnet18_96_one_block", "N1"): [0.902, 0.911, 0.883, 0.914, 0.921],
        ("adam/densenet", "N2"): [0.833, 0.869, 0.890, 0.894, 0.871],
        ("sgd5/lenet", "N3"): [0.100, 0.594, 0.708, 0.744, 0.755],
    }


def test_seconds_per_epoch_of_single_results_are_those_of_the_sources() -> None:
    seconds = {
        name.removeprefix("book/"): recipe.seconds_per_epoch
        for name, recipe in load_recipes().items()
        if recipe.reported and recipe.seconds_per_epoch
    }
    assert seconds == {
        "adam/lenet": {"N2": 4.2, "P": 2.2},
        "adam/lenet_bn_scratch": {"N2": 6.5},
        "adam/lenet_bn": {"N2": 5.9},
        "adam/alexnet": {"N2": 26.5},
        "adam/alexnet_batch128": {"P": 130},
        "adam/vgg11_quarter": {"N2": 44.5},
        "adam/vgg11_eighth": {"P": "154-256"},
        "adam/nin": {"N2": 32},
        "adam/nin_batch128": {"P": 151},
        "adam/googlenet": {"P": 45},
        "adam/resnet18": {"N2": 10.8},
        "adam/resnet18_96": {"P": 31.5},
        "adam/densenet": {"N2": 12.4},
        "adam/densenet_96": {"P": 24.3},
        "sgd5/lenet": {"M": 4.8},
        "sgd5/lenet_bn_scratch": {"M": 3.5},
        "sgd5/lenet_bn": {"M": 2.3},
        "sgd5/alexnet": {"M": 16.6},
        "sgd5/vgg11": {"M": 35.8},
        "sgd5/nin": {"M": 22.2},
        "sgd5/googlenet": {"M": 22.7},
        "sgd5/resnet18": {"M": 13.8},
        "sgd5/densenet": {"M": 13.2},
    }
