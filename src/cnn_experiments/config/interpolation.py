"""Resolving `${...}` in plain settings, as OmegaConf does, but in a hundredth of the time."""

import functools
import os
import re
from collections.abc import Mapping
from typing import Any

from omegaconf import Container, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cnn_experiments.config.data_facts import NO_ROOT, is_fact, resolve_fact
from cnn_experiments.config.image_source import ROOT_KEY
from cnn_experiments.config.rules import MISSING
from cnn_experiments.errors import ConfigError, suggest

_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\}", re.ASCII)
_ENVIRONMENT = re.compile(r"\$\{oc\.env:(\w+)(?:,[\w./-]*)?\}", re.ASCII)
_MAX_DEPTH = 20


class _OmegaConfNeededError(Exception):
    """An interpolation that is not a plain reference to another setting."""


def resolve(unresolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of settings in which every interpolation is replaced by its value.

    Raises:
        ConfigError: a setting that another depends on has none of the values that are listed for it.
        OmegaConfBaseException: an interpolation refers to something that does not exist, or to itself.
        ConfigError: there are no images from which a setting follows.
    """
    try:
        return {key: _resolve(value, unresolved, 0) for key, value in unresolved.items()}
    except _OmegaConfNeededError:
        return _resolve_with_omegaconf(unresolved)


def _resolve_with_omegaconf(unresolved: Mapping[str, Any]) -> dict[str, Any]:
    group, _, name = ROOT_KEY.partition(".")
    data = unresolved.get(group)
    is_root_missing = isinstance(data, dict) and data.get(name) == MISSING
    settings = dict(unresolved)
    if isinstance(data, dict) and is_root_missing:
        settings[group] = {**data, name: NO_ROOT}  # OmegaConf would raise an error for each setting that refers to it
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(settings), resolve=True)
    except OmegaConfBaseException as error:
        raise _resolver_error(error) or error from None
    assert isinstance(resolved, dict)
    if is_root_missing:
        resolved[group][name] = MISSING
    return {str(key): value for key, value in resolved.items()}


def _value_for(key: str, values: Mapping[str, Any], *, _root_: Container) -> Any:
    """Return what a setting is for the value of another one: `${by_value:data.split,{digits:10,letters:26}}`."""
    value = OmegaConf.select(_root_, key)
    if value not in values:
        problem = f"must be one of {', '.join(values)}"
        raise ConfigError(key, value, problem=problem, suggestion=suggest(str(value), values))
    return values[value]


OmegaConf.register_new_resolver("by_value", _value_for, replace=True)


def _resolver_error(error: BaseException | None) -> ConfigError | None:
    """Return the error that a resolver raised, which OmegaConf hides in its own."""
    while error is not None and not isinstance(error, ConfigError):
        error = error.__context__
    return error


def _resolve(value: Any, root: Mapping[str, Any], depth: int) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(item, root, depth) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, root, depth) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    if _ENVIRONMENT.fullmatch(value):
        return _environment_value(value, os.environ.get(value[len("${oc.env:") : -1].partition(",")[0]))
    if is_fact(value):
        return resolve_fact(value, lambda reference: _resolve_reference(reference, root, depth))
    return _resolve_reference(value, root, depth)


def _resolve_reference(value: str, root: Mapping[str, Any], depth: int) -> Any:
    match = _REFERENCE.fullmatch(value)
    if match is None or depth == _MAX_DEPTH:
        raise _OmegaConfNeededError
    target: Any = root
    for name in match[1].split("."):
        if not isinstance(target, dict) or name not in target:
            raise _OmegaConfNeededError
        target = target[name]
    if target == MISSING and match[1] != ROOT_KEY:
        raise _OmegaConfNeededError
    return _resolve(target, root, depth + 1)


@functools.lru_cache(maxsize=128)
def _environment_value(text: str, variable: str | None) -> Any:  # noqa: ARG001
    """Return the value of `${oc.env:...}`, which differs for another value of the variable."""
    return OmegaConf.create({"value": text})["value"]
