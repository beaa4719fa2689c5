"""Which values a setting may have, in words: what rules allow, what constructors reject, and types of parameters."""

import functools
import inspect
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from configuration_files import Option, Setting

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.instantiate import find_target
from cnn_experiments.config.interpolation import resolve
from cnn_experiments.config.rules import MISSING, Rule
from cnn_experiments.config.schema import RULES, rule_for_default
from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.fingerprint import READ_ONLY_KEYS
from cnn_experiments.training.optimization import build_optimizer, build_scheduler

_NOT_CONSTRUCTED = ("init", "logger")
"""Groups whose classes change a network, or write files, when they are constructed."""
_DICTIONARY = Rule("a dictionary", lambda value: isinstance(value, dict))
_WORDS_OF_TYPES: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    str: "a string",
    bool: "true or false",
    list: "a list",
    types.NoneType: "null",
}
_PLURALS = {int: "integers", float: "numbers", str: "strings"}


def values_of(setting: Setting, option: Option | None, ranges: Mapping[str, str]) -> str:
    """Return which values a setting may have, in words.

    Args:
        setting: of an option, or of `config.yaml`.
        option: its option.
        ranges: what the constructor of the option's class rejects: `constructor_ranges`.

    Raises:
        ValueError: neither a rule nor the default nor the class says it.
    """
    if setting.key in READ_ONLY_KEYS:
        return "fixed"
    name = setting.key.rpartition(".")[2]
    rule = RULES.get(setting.key)
    if rule is None and setting.key in ranges:
        return ranges[setting.key]
    if rule is None and isinstance(setting.default, dict):
        rule = _DICTIONARY
    if rule is None and not is_interpolation(setting.default):
        rule = rule_for_default(setting.default)
    if rule is not None:
        return _rule_text(rule)
    if option is not None and option.target is not None:
        parameter = inspect.signature(find_target(option.target)).parameters.get(name)
        if parameter is not None and parameter.annotation is not inspect.Parameter.empty:
            return _type_text(_resolved_annotation(option.target, parameter))
    referenced = referenced_key(setting.default)
    if referenced in RULES:
        return _rule_text(RULES[referenced])
    if isinstance(setting.default, str) and setting.default != MISSING:
        return "a string"
    raise ValueError(f"{setting.key}: nothing says which values it may have")


def constructor_ranges(option: Option) -> dict[str, str]:
    """Return what the class of an option says if a setting has a value that makes no sense, by key.

    Numbers are tried with -1, names with `?`, and null with an object. A class that accepts them, or raises another
    error, says nothing.
    """
    if option.target is None:
        return {}
    try:
        arguments = _arguments(option)
    except ConfigError:  # a value must be given
        return {}
    ranges = {}
    for setting in option.settings:
        name = setting.key.rpartition(".")[2]
        impossible = _impossible_value(arguments.get(name))
        if impossible is None or setting.key in RULES:
            continue
        problem = _rejection(option, arguments | {name: impossible}, setting.key)
        if problem and not re.search(r" with \w+=", problem):  # what another setting forbids is no range
            ranges[setting.key] = _problem_text(problem, setting.default)
    return ranges


@functools.cache
def _default_settings() -> dict[str, Any]:
    return ComposedConfig.from_overrides().settings


def _arguments(option: Option) -> dict[str, Any]:
    """Return the arguments of an option's class in a run, with the values of other settings.

    Raises:
        ConfigError: a value must be given.
    """
    own = {setting.key.rpartition(".")[2]: setting.default for setting in option.settings}
    if option.group.startswith("hydra/"):
        return own
    if MISSING in own.values():
        raise ConfigError(f"{option.group}={option.name}", problem="needs a value")
    return resolve({**_default_settings(), option.group: own})[option.group]


def _impossible_value(value: Any) -> Any:
    if value is None:
        return object()
    if isinstance(value, bool):
        return None
    if isinstance(value, list):
        return [-1] * len(value) if value and isinstance(value[0], int | float) else None
    if isinstance(value, str):
        return "?"
    return -1 if isinstance(value, int | float) else None


def _rejection(option: Option, arguments: Mapping[str, Any], key: str) -> str | None:
    """Return the problem of a setting that the class of an option names, or None."""
    try:
        with torch.device("meta"):
            _call(option, arguments)
    except ArgumentError as error:
        return error.problem if error.name == key.rpartition(".")[2] else None
    except ConfigError as error:
        return error.problem if error.key == key else None
    except Exception:  # of another package, which does not name the setting
        return None
    return None


def _call(option: Option, arguments: Mapping[str, Any]) -> None:
    target = find_target(option.target or "")
    if option.group in ("optimizer", "scheduler"):
        part = {"_target_": option.target, "_partial_": True, **arguments}
        settings = _default_settings() | {option.group: part}
        optimizer = build_optimizer(settings, torch.nn.Linear(1, 1))
        build_scheduler(settings, optimizer, total_steps=100, steps_per_epoch=10)
    elif option.group not in _NOT_CONSTRUCTED:
        target(**arguments)


def _problem_text(problem: str, default: Any) -> str:
    """Return the end of an error, `must be an integer >= 0`, as the values that are allowed."""
    allowed = problem.removeprefix("must be ")
    rule = rule_for_default(default)
    if rule is None or not allowed.startswith(("above ", "at least ", "in ", "must ")):
        return allowed
    return f"{rule.allowed}, {allowed}"


def _rule_text(rule: Rule) -> str:
    return rule.allowed if rule.most in (float("inf"), 1e9, 1e30) else f"{rule.allowed}, at most {rule.most:,.0f}"


def _resolved_annotation(target: str, parameter: inspect.Parameter) -> Any:
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    function = find_target(target)
    function = function.__init__ if isinstance(function, type) else function
    return typing.get_type_hints(function)[parameter.name]


def _type_text(annotation: Any) -> str:
    """Return a type in the words of the rules; of several, those that can be typed."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_text(kind) for kind in arguments if kind is not torch.Tensor)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        plural = _PLURALS.get(arguments[0])
        return f"a list of {plural}" if plural else "a list"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _DICTIONARY.allowed
    return _WORDS_OF_TYPES.get(annotation, "a string")


def is_interpolation(default: Any) -> bool:
    """Return whether a default follows from other settings, from the images or from the environment."""
    return isinstance(default, str) and default.startswith("${")


def referenced_key(default: Any) -> str:
    """Return the setting that a default is equal to, or nothing."""
    match = re.fullmatch(r"\$\{([\w.]+)\}", default) if isinstance(default, str) else None
    return match[1] if match else ""
