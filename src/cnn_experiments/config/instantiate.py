"""Building objects from settings, and errors of their constructors as errors of settings."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException

from cnn_experiments.arguments import ArgumentError
from cnn_experiments.errors import ConfigError, RunFailedError, describe_error, line_of_user_code, suggest

_TARGET = "_target_"


def instantiate(group: str, settings: Mapping[str, Any], kind: type, **arguments: Any) -> Any:
    """Build the object that `_target_` names, with plain lists and dictionaries as arguments.

    Args:
        group: the prefix of the settings' keys, such as `model`.
        settings: the group's own.
        kind: the class of what is built.
        arguments: further arguments of the constructor.

    Raises:
        ConfigError: a `_target_` is not a class or function of an installed package or of the user's own modules, which
            is known before it is called, or it makes another kind of object.
    """
    _check_targets(group, settings, kind)
    part = hydra.utils.instantiate(settings, **arguments, _convert_="all")
    return _check_kind(group, settings, part, kind)


def check_call(group: str, settings: Mapping[str, Any], kind: type) -> None:
    """Check the call that `instantiate` would make, without making it: `_target_` and the names of its arguments.

    Raises:
        ConfigError: as in `instantiate`, an argument is missing or unknown, or the class lacks abstract methods.
    """
    _check_targets(group, settings, kind)
    factory = find_target(settings[_TARGET])
    if missing := sorted(getattr(factory, "__abstractmethods__", ())):
        raise ConfigError(f"{group}.{_TARGET}", settings[_TARGET], problem=f"must define {', '.join(missing)}")
    arguments = {key: value for key, value in settings.items() if not key.startswith("_")}
    try:
        inspect.signature(factory).bind(*settings.get("_args_", ()), **arguments)
    except TypeError as error:
        problem = f"{settings[_TARGET].rpartition('.')[2]}(): {error}"
        raise ConfigError(group, problem=problem) from error
    except ValueError:  # a class of an extension module has no signature
        return


def instantiate_partial(group: str, settings: Mapping[str, Any], kind: type) -> Callable[..., Any]:
    """Return the function that `_target_` names with its settings as arguments, to be called with the other ones.

    Raises:
        ConfigError: as in `instantiate`; also what is returned raises it.
    """
    _check_targets(group, settings, kind)
    if settings.get("_partial_") is not True:
        raise ConfigError(f"{group}._partial_", settings.get("_partial_"), problem="must be true")
    function = hydra.utils.instantiate(settings, _convert_="all")

    def build(*arguments: Any, **keywords: Any) -> Any:
        return _check_kind(group, settings, function(*arguments, **keywords), kind)

    return build


def target_parameters(group: str, settings: Mapping[str, Any], kind: type) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of the class or function that `_target_` names, by name; none if Python can't know them.

    Raises:
        ConfigError: as in `instantiate`.
    """
    _check_targets(group, settings, kind)
    try:
        return inspect.signature(find_target(settings[_TARGET])).parameters
    except (TypeError, ValueError):  # of a function that is not written in Python
        return {}


def _check_kind(group: str, settings: Mapping[str, Any], part: Any, kind: type) -> Any:
    if not isinstance(part, kind):
        problem = f"must make a {kind.__name__}, not {type(part).__name__}"
        raise ConfigError(f"{group}.{_TARGET}", settings[_TARGET], problem=problem)
    return part


def _check_targets(group: str, settings: Mapping[str, Any], kind: type) -> None:
    """Check every `_target_` of settings before any is called, the nested ones first."""
    for key, value in settings.items():
        _check_nested_targets(f"{group}.{key}", value)
    if _TARGET not in settings:
        raise ConfigError(f"{group}.{_TARGET}", problem="must be given: the class or function that makes this part")
    key, target = f"{group}.{_TARGET}", settings[_TARGET]
    factory = _check_target(key, target)
    if isinstance(factory, type) and not issubclass(factory, kind):
        name = f"{kind.__module__}.{kind.__qualname__}"
        raise ConfigError(key, target, problem=f"must be a subclass of {name}, or a function that makes one")


def _check_nested_targets(key: str, value: Any) -> None:
    if isinstance(value, list | tuple):  # Hydra builds what is in a tuple, too
        for place, item in enumerate(value):
            _check_nested_targets(f"{key}.{place}", item)
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name == _TARGET:
                _check_target(f"{key}.{_TARGET}", item)
            else:
                _check_nested_targets(f"{key}.{name}", item)


def _check_target(key: str, target: Any) -> Any:
    """Return the class or function that a dotted path names."""
    problem = "must be a class or function of an installed package or of your own module, not of Python itself"
    if not isinstance(target, str) or _is_of_python(target.partition(".")[0]):
        raise ConfigError(key, target, problem=problem)
    try:
        factory = find_target(target)
    except (ImportError, AttributeError) as error:
        problem = f"could not be found: {' '.join(str(error).split())}"
        package = target.partition(".")[0]
        is_package = isinstance(error, ModuleNotFoundError) and error.name == package
        remedy = f"if {package} is a module of your own, put its directory into PYTHONPATH" if is_package else None
        suggestion = _nearest_target(target, error)
        raise ConfigError(key, target, problem=problem, suggestion=suggestion, remedy=remedy) from error
    except SystemExit as error:
        raise ConfigError(key, target, problem="ends the program when its module is imported") from error
    if not callable(factory) or _is_of_python(str(getattr(factory, "__module__", None)).partition(".")[0]):
        raise ConfigError(key, target, problem=problem)
    return factory


def _nearest_target(path: str, error: ImportError | AttributeError) -> str | None:
    """Return the path with another last name, if that is the one that was not found and there is a similar one."""
    parent, _, name = path.rpartition(".")
    if not isinstance(error, AttributeError) or error.obj is None or error.name != name:
        return None
    nearest = suggest(name, [word for word in dir(error.obj) if not word.startswith("_")], cutoff=0.7)
    return f"{parent}.{nearest}" if nearest else None


def _is_of_python(package: str) -> bool:
    """Return whether a package belongs to Python itself: its functions end processes, wait and remove files."""
    return package in sys.stdlib_module_names


def find_target(path: str) -> Any:
    """Return what a dotted path names, importing modules as necessary.

    Raises:
        ImportError: a module can't be imported.
        AttributeError: a module or class has no such name.
    """
    names = path.split(".")
    if not all(map(str.isidentifier, names)):
        raise ImportError(f"{path!r} is not a dotted path")
    target: Any = importlib.import_module(names[0])
    for place, name in enumerate(names[1:], start=1):
        try:
            target = getattr(target, name)
        except AttributeError:
            if not inspect.ismodule(target):
                raise
            module = ".".join(names[: place + 1])
            try:
                target = importlib.import_module(module)
            except ModuleNotFoundError as error:
                if error.name != module:
                    raise
                problem = f"{'.'.join(names[:place])} has no {name}"
                raise AttributeError(problem, name=name, obj=target) from None
    return target


@contextmanager
def attribute_errors_to(group: str, settings: Mapping[str, Any]) -> Iterator[None]:
    """Turn what a constructor raises into an error of its setting, or of the group as a whole.

    The working directory stays what it is, whatever code of the user does.

    Args:
        group: the prefix of the settings' keys, such as `model`.
        settings: the group's own.

    Raises:
        ConfigError: anything was raised inside, except a RunFailedError.
    """
    try:
        with chdir(os.curdir):
            yield
    except (ConfigError, RunFailedError):
        raise
    except (Exception, SystemExit) as error:  # a constructor may raise anything
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        if isinstance(cause, ConfigError | RunFailedError):
            raise cause from error
        if isinstance(cause, ArgumentError) and cause.name in settings:
            key, value = f"{group}.{cause.name}", settings[cause.name]
            raise ConfigError(key, value, problem=cause.problem, suggestion=cause.suggestion) from error
        is_check = isinstance(cause, ValueError) and (isinstance(cause, ArgumentError) or not line_of_user_code(cause))
        raise ConfigError(group, problem=" ".join(str(cause).split()) if is_check else describe_error(cause)) from error
