"""What several values mean to a search."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from cnn_experiments.errors import Refusal
from cnn_experiments.search.space import Parameter, parameter


def parsed(line: str) -> Parameter:
    (override,) = OverridesParser.create().parse_overrides([line])
    return parameter(override)


@pytest.mark.parametrize(
    ("line", "distribution", "samples"),
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
def test_ranges(line: str, distribution: BaseDistribution, samples: list[object]) -> None:
    made = parsed(line)
    assert made.distribution == distribution
    assert made.samples == samples
    assert made.key == line.partition("=")[0]


def test_values_are_numbers_where_they_are_numbers() -> None:
    assert parsed("lr=1e-3,1e-2").values == [1e-3, 1e-2]
    assert parsed("lr=tag(log,interval(1e-5,0.1))").values[0] == 1e-5
    assert parsed("flip=true,false").values == [True, False]
    assert parsed("p=range(0.0,0.5,0.2)").values == [0.0, 0.2, 0.4]
    assert parsed("model=lenet,nin").values == ["lenet", "nin"]
    assert parsed("depths=[2,2],[4]").values == ["[2, 2]", "[4]"]


def test_values_are_typed_with_four_digits() -> None:
    assert parsed("optimizer.lr=interval(0,1)").typed(0.012345678) == "optimizer.lr=0.01235"
    assert parsed("optimizer.lr=tag(log,interval(1e-6,0.1))").typed(1.23456e-6) == "optimizer.lr=1.235e-06"
    assert parsed("optimizer.lr=interval(0.00012345,0.99999)").typed(0.00012345) == "optimizer.lr=0.00012345"
    assert parsed("optimizer.lr=interval(0.00012345,0.99999)").typed(0.99999) == "optimizer.lr=0.99999"
    assert parsed("data.batch_size=range(16,65,16)").typed(48) == "data.batch_size=48"
    assert parsed("+model=lenet,nin").typed("nin") == "+model=nin"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lr=tag(lgo,interval(1,2))", "lr=tag(lgo,interval(1,2)): tag lgo: must be log, of an interval"),
        ("n=tag(log,range(1,100))", "n=tag(log,range(1,100)): tag log: must be log, of an interval"),
        ("lr=tag(log,choice(1,2))", "lr=tag(log,choice(1,2)): tag log: must be log, of an interval"),
        ("n=range(5,2)", "n=range(5,2): must have a number in it"),
        ("lr=tag(log,interval(0.0,1.0))", r"lr=tag(log,interval(0.0,1.0)): `low > 0` must hold for `log=True`"),
        ("lr=interval(2.0,1.0)", "lr=interval(2.0,1.0): "),
    ],
)
def test_what_is_no_range_is_refused(line: str, said: str) -> None:
    with pytest.raises(Refusal) as refused:
        parsed(line)
    assert str(refused.value).startswith(said)
