"""Tests of building objects from settings, and of attributing the errors of constructors to settings."""

from typing import Any

import pytest
from hydra.errors import InstantiationException

from cnn_experiments.config.instantiate import attribute_errors_to, instantiate
from cnn_experiments.errors import ConfigError

SETTINGS = {"_target_": "my.Net", "norm": "layer", "width": 0, "depths": [1], "bias": None, "pool": "max"}


class Recorder:
    def __init__(self, depths: list[int], options: dict[str, Any], extra: int) -> None:
        self.arguments = (depths, options, extra)


def raise_value_error(message: str) -> None:
    raise ValueError(message)


def line_of(error: Exception) -> str:
    with pytest.raises(ConfigError) as config_error, attribute_errors_to("model", SETTINGS):
        raise error
    assert config_error.value.__cause__ is error
    return str(config_error.value)


def test_object_gets_plain_lists_and_dictionaries() -> None:
    built = instantiate({"_target_": f"{__name__}.Recorder", "depths": [1], "options": {"a": [2]}}, extra=3)
    assert built.arguments == ([1], {"a": [2]}, 3)
    assert [type(argument) for argument in built.arguments] == [list, dict, int]


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("norm=layer: must be none", "model.norm=layer: must be none"),
        ("width=0: must be > 0", "model.width=0: must be > 0"),
        ("bias=null: must be given", "model.bias=null: must be given"),
        ("depths=[1]: must be two\n  numbers", "model.depths=[1]: must be two numbers"),
        # Another value than that of the setting, or another name: the group as a whole.
        ("width=1: must be > 0", "model: width=1: must be > 0"),
        ("height=0: must be > 0", "model: height=0: must be > 0"),
        # One value among the words of a message.
        ("there is no layer here", "model.norm=layer: there is no layer here"),
        ("there are no layers here", "model: there are no layers here"),
        ("layer and max exclude each other", "model: layer and max exclude each other"),
    ],
)
def test_message_of_a_constructor_is_attributed_to_its_setting(message: str, line: str) -> None:
    assert line_of(ValueError(message)) == line


def test_class_of_an_error_is_named_unless_it_is_a_value_error() -> None:
    assert line_of(IndexError("list index out of range")).startswith("model: IndexError: list index out of range")
    assert line_of(TypeError("max is not callable")).startswith("model.pool=max: TypeError: max is not callable")


def test_cause_of_an_instantiation_error_is_attributed_to_its_setting() -> None:
    settings = {"_target_": f"{__name__}.raise_value_error", "message": "message=x: must be y"}
    with pytest.raises(ConfigError) as error, attribute_errors_to("model", {"message": "x"}):
        instantiate(settings)
    assert str(error.value) == "model.message=x: must be y"
    assert isinstance(error.value.__cause__, InstantiationException)


def test_missing_class_is_attributed_to_the_target() -> None:
    settings = {"_target_": "my.Net"}
    with (
        pytest.raises(ConfigError, match=r"^model\._target_=my\.Net: ") as error,
        attribute_errors_to("model", settings),
    ):
        instantiate(settings)
    assert error.value.key == "model._target_"


def test_config_error_passes_unchanged() -> None:
    config_error = ConfigError("seed", -1, problem="must be an integer >= 0")
    with pytest.raises(ConfigError) as error, attribute_errors_to("model", SETTINGS):
        raise config_error
    assert error.value is config_error
