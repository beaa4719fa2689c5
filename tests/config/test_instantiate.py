"""Tests of building objects from settings, and of attributing the errors of constructors to settings."""

import re
import signal
import sys
from functools import partial
from os import _exit as imported_exit
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.config.instantiate import attribute_errors_to, instantiate, instantiate_partial
from cnn_experiments.errors import ConfigError
from cnn_experiments.runtime.signals import Interrupted

SETTINGS = {"_target_": "my.Net", "norm": "layer", "width": 0, "depths": [1], "bias": None, "pool": "max"}
NOT_OF_PYTHON = "must be a class or function of an installed package or of your own module, not of Python itself"

calls: list[str] = []
bound_exit = partial(imported_exit, 3)


class Recorder:
    def __init__(self, depths: list[int], options: dict[str, Any], extra: int) -> None:
        self.arguments = (depths, options, extra)


class Part:
    def __init__(self, block: Any = None) -> None:
        calls.append("Part")
        self.block = block


class Other:
    def __init__(self) -> None:
        calls.append("Other")


def make_other() -> Other:
    return Other()


def make_part(block: Any) -> Part:
    return Part(block)


def raise_argument_error(name: str) -> None:
    raise ArgumentError(name, 3, "must be y", "y")


def exit_program() -> None:
    sys.exit(5)


def line_of(error: Exception) -> str:
    with pytest.raises(ConfigError) as config_error, attribute_errors_to("model", SETTINGS):
        raise error
    assert config_error.value.__cause__ is error
    return str(config_error.value)


def rejected(settings: dict[str, Any]) -> str:
    calls.clear()
    with pytest.raises(ConfigError) as error, attribute_errors_to("model", settings):
        instantiate("model", settings, Part)
    return str(error.value)


def test_object_gets_plain_lists_and_dictionaries() -> None:
    settings = {"_target_": f"{__name__}.Recorder", "depths": [1], "options": {"a": [2]}}
    built = instantiate("model", settings, Recorder, extra=3)
    assert built.arguments == ([1], {"a": [2]}, 3)
    assert [type(argument) for argument in built.arguments] == [list, dict, int]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ArgumentError("norm", "layer", "must be none"), "model.norm=layer: must be none"),
        (ArgumentError("bias", None, "must be given"), "model.bias=null: must be given"),
        (ArgumentError("depths", [1], "must be two numbers"), "model.depths=[1]: must be two numbers"),
        (ArgumentError("pool", "max", "must be avg", "avg"), "model.pool=max: must be avg; did you mean avg?"),
        # An argument that is no setting: the group as a whole.
        (ArgumentError("height", 0, "must be > 0"), "model: height=0: must be > 0"),
    ],
)
def test_error_of_a_constructor_is_attributed_to_its_setting(error: Exception, line: str) -> None:
    assert line_of(error) == line


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (IndexError("list index out of range"), "IndexError: list index out of range"),
        # A message is not searched for names and values.
        (ValueError("norm=layer: must be\n  none"), "ValueError: norm=layer: must be none"),
    ],
)
def test_error_of_the_users_code_has_its_class_and_its_line(error: Exception, message: str) -> None:
    assert re.fullmatch(rf"model: {message} \(test_instantiate\.py:\d+\)", line_of(error))


def test_value_error_of_a_library_is_its_message() -> None:
    settings = {"_target_": "torch.nn.Dropout", "p": 2}
    with pytest.raises(ConfigError) as error, attribute_errors_to("model", settings):
        instantiate("model", settings, torch.nn.Module)
    assert str(error.value) == "model: dropout probability has to be between 0 and 1, but got 2"


def test_cause_of_an_instantiation_error_is_attributed_to_its_setting() -> None:
    settings = {"_target_": f"{__name__}.raise_argument_error", "name": "name"}
    with pytest.raises(ConfigError) as error, attribute_errors_to("model", settings):
        instantiate("model", settings, Part)
    assert str(error.value) == "model.name=name: must be y; did you mean y?"
    assert isinstance(error.value.__cause__, InstantiationException)


def test_config_error_passes_unchanged() -> None:
    config_error = ConfigError("seed", -1, problem="must be an integer >= 0")
    with pytest.raises(ConfigError) as error, attribute_errors_to("model", SETTINGS):
        raise config_error
    assert error.value is config_error


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        *(
            (target, NOT_OF_PYTHON)
            for target in (
                "os._exit", "os.abort", "time.sleep", "sys.exit", "subprocess.Popen", "builtins.exit", "shutil.rmtree",
                f"{__name__}.imported_exit", f"{__name__}.bound_exit", f"{__name__}.sys.exit", f"{__name__}.SETTINGS",
                3, None, ["os"],
            )
        ),
        (f"{__name__}.Other", f"must be a subclass of {__name__}.Part, or a function that makes one"),
        (f"{__name__}.make_other", "must make a Part, not Other"),
        (f"{__name__}.Nothing", f"could not be found: {__name__} has no Nothing"),
        (f"{__name__}.Othr", f"could not be found: {__name__} has no Othr; did you mean {__name__}.Other?"),
        (
            "nothing_here.Net",
            "could not be found: No module named 'nothing_here'; "
            "if nothing_here is a module of your own, put its directory into PYTHONPATH",
        ),
        ("a b", "could not be found: 'a b' is not a dotted path"),
        ("", "could not be found: '' is not a dotted path"),
    ],
)  # fmt: skip
def test_target_that_makes_no_part_is_rejected(target: Any, problem: str) -> None:
    value = "null" if target is None else target
    assert rejected({"_target_": target}) == f"model._target_={value}: {problem}"
    assert calls == (["Other"] if target == f"{__name__}.make_other" else [])


def test_nested_target_is_checked_before_anything_is_called() -> None:
    nested = {"_target_": "os._exit", "status": 3}
    settings = {"_target_": f"{__name__}.Part", "block": [{"a": {"_target_": f"{__name__}.Other", "x": nested}}]}
    assert rejected(settings) == f"model.block.0.a.x._target_=os._exit: {NOT_OF_PYTHON}"
    assert calls == []


def test_part_without_a_target_is_rejected() -> None:
    assert rejected({"norm": "batch"}) == "model._target_: must be given: the class or function that makes this part"


def test_function_that_ends_the_program_is_an_error_of_its_part() -> None:
    assert rejected({"_target_": f"{__name__}.exit_program"}).startswith("model: SystemExit: 5")


def test_class_and_function_of_the_right_kind_are_called() -> None:
    assert instantiate("model", {"_target_": f"{__name__}.Part", "block": 3}, Part).block == 3
    assert instantiate("model", {"_target_": f"{__name__}.make_part", "block": 4}, Part).block == 4


def test_partial_part_is_checked_when_it_is_called() -> None:
    settings = {"_target_": f"{__name__}.make_part", "_partial_": True}
    assert instantiate_partial("optimizer", settings, Part)(7).block == 7
    with pytest.raises(ConfigError, match=r"^optimizer\._target_=.*: must make a Other, not Part$"):
        instantiate_partial("optimizer", settings, Other)(7)
    with pytest.raises(ConfigError, match=r"^optimizer\._partial_=null: must be true$"):
        instantiate_partial("optimizer", {"_target_": f"{__name__}.make_part"}, Part)


class InterruptedPart:
    def __init__(self) -> None:
        raise Interrupted(signal.SIGTERM)


def test_signal_in_a_constructor_is_no_error_of_a_setting() -> None:
    settings = {"_target_": f"{__name__}.InterruptedPart"}
    with pytest.raises(Interrupted), attribute_errors_to("model", settings):
        instantiate("model", settings, object)
