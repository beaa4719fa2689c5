"""Tests of the error of an argument."""

import pytest

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.models import InceptionResNetV2, LeNet


def test_error_of_an_argument_is_data_and_a_readable_value_error() -> None:
    with pytest.raises(ValueError, match="pool") as error:
        LeNet(1, 10, [6, 16], 5, [120, 84], "sigmoid", "none", None, "before_activation", pool="maxx", padding=0)
    assert isinstance(error.value, ArgumentError)
    assert str(error.value) == "pool=maxx: must be one of max, avg, stride; did you mean max?"
    assert (error.value.name, error.value.value) == ("pool", "maxx")
    assert (error.value.problem, error.value.suggestion) == ("must be one of max, avg, stride", "max")


def test_number_instead_of_a_list_is_an_error_of_the_argument() -> None:
    with pytest.raises(ArgumentError) as error:
        InceptionResNetV2(1, 10, depths=5, dropout=0.2)  # type: ignore[arg-type]
    assert str(error.value) == "depths=5: must be a list of integers >= 1"


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (None, "null"), (0.5, "0.5")])
def test_value_is_written_as_it_is_typed(value: object, text: str) -> None:
    assert str(ArgumentError("a", value, "must be 3")) == f"a={text}: must be 3"
