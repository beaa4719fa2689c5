"""Tests of converting sweep overrides to the parameters of a search."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from cnn_experiments.errors import ConfigError
from cnn_experiments.search.space import Parameter, to_parameter


def parse_parameter(line: str) -> Parameter:
    (override,) = OverridesParser.create().parse_overrides([line])
    return to_parameter(override)


@pytest.mark.parametrize(
    ("line", "distribution", "probe_values"),
    [
        ("optimizer=adam,sgd", CategoricalDistribution(["adam", "sgd"]), ["adam", "sgd"]),
        ("model.depths=[2,2],[4,4,4]", CategoricalDistribution(["[2,2]", "[4,4,4]"]), ["[2,2]", "[4,4,4]"]),
        ("lr=interval(0,1)", FloatDistribution(0.0, 1.0), [0.0, 0.618, 1.0]),
        (
            "lr=tag(log,interval(1e-4,0.1))",
            FloatDistribution(1e-4, 0.1, log=True),
            [1e-4, pytest.approx(0.0618382), 0.1],
        ),
        ("width=int(interval(4,64))", IntDistribution(4, 64), [4, 64]),
        ("width=tag(log,int(interval(4,64)))", IntDistribution(4, 64, log=True), [4, 64]),
        ("width=range(16,65,16)", IntDistribution(16, 64, step=16), [16, 64]),
        ("p=range(0.0,0.5,0.2)", CategoricalDistribution(["0.0", "0.2", "0.4"]), ["0.0", "0.2", "0.4"]),
    ],
)
def test_override_becomes_a_distribution(line: str, distribution: BaseDistribution, probe_values: list[object]) -> None:
    parameter = parse_parameter(line)
    assert parameter.distribution == distribution
    assert parameter.probe_values == probe_values
    assert parameter.key == line.partition("=")[0]


def test_numbers_are_listed_as_numbers() -> None:
    assert parse_parameter("lr=1e-3,1e-2").values == [1e-3, 1e-2]
    assert parse_parameter("lr=tag(log,interval(1e-5,0.1))").values[0] == 1e-5
    assert parse_parameter("flip=true,false").values == [True, False]
    assert parse_parameter("p=range(0.0,0.5,0.2)").values == [0.0, 0.2, 0.4]
    assert parse_parameter("model=lenet,nin").values == ["lenet", "nin"]
    assert parse_parameter("depths=[2,2],[4]").values == ["[2, 2]", "[4]"]


@pytest.mark.parametrize(
    ("line", "value", "override"),
    [
        ("optimizer.lr=interval(0,1)", 0.012345678, "optimizer.lr=0.01235"),
        ("optimizer.lr=tag(log,interval(1e-6,0.1))", 1.23456e-6, "optimizer.lr=1.235e-06"),
        ("optimizer.lr=interval(0.00012345,0.99999)", 0.00012345, "optimizer.lr=0.00012345"),
        ("optimizer.lr=interval(0.00012345,0.99999)", 0.99999, "optimizer.lr=0.99999"),
        ("data.batch_size=range(16,65,16)", 48, "data.batch_size=48"),
        ("+model=lenet,nin", "nin", "+model=nin"),
    ],
)
def test_sampled_float_is_rounded_to_four_digits_within_its_interval(line: str, value: object, override: str) -> None:
    assert parse_parameter(line).to_override(value) == override


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lr=tag(lgo,interval(1,2))", "lr=tag(lgo,interval(1,2)): tag lgo: must be log, and only of an interval"),
        ("n=tag(log,range(1,100))", "n=tag(log,range(1,100)): tag log: must be log, and only of an interval"),
        ("lr=tag(log,choice(1,2))", "lr=tag(log,choice(1,2)): tag log: must be log, and only of an interval"),
        ("n=range(5,2)", "n=range(5,2): must contain a number"),
        ("lr=tag(log,interval(0.0,1.0))", "lr=tag(log,interval(0.0,1.0)): `low > 0` must hold for `log=True`"),
        ("lr=interval(2.0,1.0)", "lr=interval(2.0,1.0): "),
    ],
)
def test_override_without_a_range_is_rejected(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_parameter(line)
    assert str(error.value).startswith(message)
