"""Building objects from settings, and errors of their constructors as errors of settings."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException

from cnn_experiments.errors import ConfigError, describe_error, format_value


def instantiate(settings: Mapping[str, Any], **arguments: Any) -> Any:
    """Build the object that `_target_` names, with plain lists and dictionaries as arguments."""
    return hydra.utils.instantiate(settings, **arguments, _convert_="all")


@contextmanager
def attribute_errors_to(group: str, settings: Mapping[str, Any]) -> Iterator[None]:
    """Turn what a constructor raises into an error of its setting.

    A message that begins with `name=value: ` names the setting, as constructors of this package do. Otherwise it is the
    one setting whose value is a word of the message, or the group as a whole.

    Args:
        group: the prefix of the settings' keys, such as `model`.
        settings: the group's own.

    Raises:
        ConfigError: anything was raised inside.
    """
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # a constructor may raise anything
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        if isinstance(cause, ConfigError):
            raise cause from error
        message = " ".join(str(cause).split())
        for key, value in settings.items():
            if message.startswith(start := f"{key}={format_value(value)}: "):
                raise ConfigError(f"{group}.{key}", value, problem=message.removeprefix(start)) from error
        named = [
            key
            for key, value in settings.items()
            if isinstance(value, str) and re.search(rf"\b{re.escape(value)}\b", message)
        ]
        problem = message if isinstance(cause, ValueError) else describe_error(cause)
        if len(named) == 1:
            raise ConfigError(f"{group}.{named[0]}", settings[named[0]], problem=problem) from error
        raise ConfigError(group, problem=problem) from error
