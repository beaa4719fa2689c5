"""What Hydra composes from chosen options, and overrides of it: checked, then applied as Hydra does."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from cnn_experiments.config.hydra_internals import cached_by_command_line, config_directories, config_loader
from cnn_experiments.config.interpolation import resolve
from cnn_experiments.config.overrides import option_names, parse_override, quote_override, value_text
from cnn_experiments.config.schema import LIST_GROUPS, deleted_group_error, deleted_key_error, unknown_key_error
from cnn_experiments.config.sources import CONF, find_groups
from cnn_experiments.errors import ConfigError, describe_error, format_value, suggest
from cnn_experiments.runs.fingerprint import flatten, is_same

RECIPE = "experiment"
"""The group of recipes, which set all other groups."""

PART_GROUPS = ("init", "loss", "model", "optimizer", "scheduler", *LIST_GROUPS)
"""Groups whose settings mean something else for another option, so that a recipe's values do not fit it."""

_MAX_LISTED = 25
"""If a group has more options than this, an error lists only those beside the nearest one, or folders."""


@dataclass(frozen=True)
class Composition:
    """The settings of chosen options, those of a recipe included, before any setting is typed."""

    config_name: str
    overrides: tuple[str, ...]
    """The choices, and where else options are searched."""
    unresolved: Mapping[str, Any]
    """All settings, in plain values."""
    hydra: Mapping[str, Any]
    """Hydra's own settings, in plain values."""
    all_choices: Mapping[str, str | None]
    """The option of every group, those of Hydra too; None where none is chosen. Several are joined: `crop,flip`."""

    @cached_property
    def choices(self) -> dict[str, str]:
        """Return the option of every group of this program."""
        chosen = {group: option for group, option in self.all_choices.items() if option is not None}
        return {group: option for group, option in chosen.items() if not group.startswith("hydra/")}

    @cached_property
    def known_keys(self) -> list[str]:
        """Return the keys of all settings, those of Hydra too."""
        return list(flatten({**self.unresolved, "hydra": self.hydra}))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Return all settings, resolved."""
        return resolve(self.unresolved)

    @cached_property
    def flat_settings(self) -> dict[str, Any]:
        """Return all settings, resolved, with dotted keys."""
        return flatten(self.settings)

    @cached_property
    def without_recipe(self) -> "Composition":
        """Return the same options, but without what a recipe sets."""
        if RECIPE not in self.choices:
            return self
        return compose_options(self.config_name, (*_explicit_choices(self), *_search_paths(self.overrides)))

    @property
    def defaults(self) -> "Composition":
        """Return the options of a command that chooses none."""
        return compose_options(self.config_name, _search_paths(self.overrides))

    @cached_property
    def set_by_recipe(self) -> dict[str, Any]:
        """Return the settings that the recipe changes, unresolved."""
        own = flatten(self.without_recipe.unresolved)
        return {
            key: value
            for key, value in flatten(self.unresolved).items()
            if key not in own or not is_same(value, own[key])
        }

    @cached_property
    def lines_over_recipe(self) -> tuple[str, ...]:
        """Return overrides with which a typed option counts more than the recipe.

        The values in which the option differs from the one that is chosen by default are what it was typed for:
        `trainer=smoke` is one epoch, whatever the recipe says. Another data set is trained as the recipe says.
        """
        typed = [override for override in map(parse_override, self.overrides) if not override.is_hydra_override()]
        groups = [override.key_or_group for override in typed]
        groups = [group for group in groups if group not in (*PART_GROUPS, "data", RECIPE)]
        if RECIPE not in self.choices or not groups:
            return ()
        own = flatten(self.without_recipe.unresolved)
        default = flatten(self.defaults.unresolved)
        return tuple(
            _format_override(key, own[key])
            for group in groups
            for key in self.set_by_recipe
            if key.startswith(f"{group}.") and key in own and not is_same(own[key], default.get(key))
        )


def _format_override(key: str, value: Any) -> str:
    if isinstance(value, list):
        return f"{key}=[{','.join(_format_override('', item)[1:] for item in value)}]"
    return quote_override(key, value) if isinstance(value, str) else f"{key}={format_value(value)}"


def _explicit_choices(composition: Composition) -> list[str]:
    added = {parse_override(line).key_or_group for line in composition.overrides if line.startswith("+")}
    return [
        f"{'+' if group in added else ''}{group}={f'[{option}]' if group in LIST_GROUPS else option}"
        for group, option in composition.choices.items()
        if group != RECIPE and group.partition("/")[0] in composition.unresolved
    ]


def _search_paths(overrides: Iterable[str]) -> tuple[str, ...]:
    return tuple(line for line in overrides if parse_override(line).key_or_group == "hydra.searchpath")


@cached_by_command_line(maxsize=512)
def compose_options(config_name: str, overrides: tuple[str, ...]) -> Composition:
    """Compose chosen options: it takes Hydra a tenth of a second, and the combinations of a sweep share most.

    Raises:
        ConfigError: there is no such option, or it can't be chosen like this.
        HydraException: the files of the options can't be composed.
    """
    for override in map(parse_override, overrides):
        if override.key_or_group != "hydra.searchpath":
            _check_choice(override, config_name, overrides)
    try:
        config = config_loader().load_configuration(config_name, list(overrides), run_mode=RunMode.RUN)
    except (HydraException, OmegaConfBaseException, YAMLError):
        raise
    except Exception as error:  # Hydra raises anything for a file that is no configuration
        raise _file_error(error) from error
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    settings = {str(key): value for key, value in plain.items()}
    hydra = settings.pop("hydra")
    choices = hydra["runtime"]["choices"] | _choices_of_lists(config_name, overrides, hydra["runtime"]["choices"])
    return Composition(config_name, overrides, settings, hydra, choices)


def _choices_of_lists(config_name: str, overrides: Sequence[str], choices: Mapping[str, str]) -> dict[str, str]:
    """Return the options of every group of which a list was chosen; Hydra records those of the others alone."""
    groups = [group for group in LIST_GROUPS if group not in choices]
    if not groups:
        return {}
    defaults = config_loader().compute_defaults_list(config_name, list(overrides), RunMode.RUN).defaults
    paths = [str(default.config_path) for default in defaults if default.parent == config_name]
    options = {
        group: [path.removeprefix(f"{group}/") for path in paths if path.startswith(f"{group}/")] for group in groups
    }
    return {group: ",".join(names) or "none" for group, names in options.items()}


def _file_error(error: Exception) -> ConfigError:
    """Return the error for a file that Hydra can't read: the first one that is not UTF-8, or all of them."""
    for directory in config_directories()[1:]:
        for path in sorted(directory.rglob("*.yaml")):
            try:
                path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                return ConfigError(str(path), problem="must be UTF-8")
            except OSError as os_error:
                return ConfigError(str(path), problem=f"can't be read ({os_error.strerror})")
    return ConfigError("configuration", problem=describe_error(error))


@cached_by_command_line(maxsize=8)
def known_groups() -> frozenset[str]:
    """Return all groups of this program and of the user's directory, nested ones too."""
    return frozenset(find_groups(config_directories()))


def is_choice(override: Override) -> bool:
    """Return whether an override chooses an option of a group, or says where options are."""
    key = override.key_or_group
    return "/" in key or key in known_groups() or key == "hydra.searchpath"


def choices_of(overrides: Iterable[Override]) -> tuple[str, ...]:
    """Return the overrides with one value that choose options, as typed."""
    return tuple(
        str(override.input_line) for override in overrides if is_choice(override) and not override.is_sweep_override()
    )


def _check_choice(override: Override, config_name: str, overrides: Sequence[str]) -> None:
    """Check that an option exists and that it can be chosen like this."""
    group, value = override.key_or_group, value_text(override)
    parent, _, folder = group.rpartition("/")
    if override.is_delete():
        raise deleted_group_error(group)
    if override.package is not None:
        problem = "an option can't be put elsewhere"
        raise ConfigError(f"{group}@{override.package}", value, problem=problem, suggestion=f"{group}={value}")
    option = override.value()
    names = option if isinstance(option, list) and group in LIST_GROUPS else [option]
    if any(isinstance(name, list | dict) for name in names):
        raise ConfigError(group, value, problem="must be one option")
    if {group, parent} <= known_groups() and parent != "hydra":
        problem = "an option of a folder is chosen with the name of the folder"
        raise ConfigError(group, value, problem=problem, suggestion=f"{parent}={folder}/{value}")
    options = _option_names(group, config_name, _search_paths(overrides))
    if not options:
        raise unknown_key_error(group, value, _all_known(compose_options(config_name, ())))
    for name in names:
        if not isinstance(name, str) or name not in options:
            raise unknown_option_error(group, format_value(name), options)
    if len(set(names)) < len(names):
        raise ConfigError(group, value, problem="must not have an option twice")
    if len(names) > 1 and "none" in names:
        raise ConfigError(group, value, problem="must not have none beside other options")
    is_added = override.is_add() or override.is_force_add()
    if not is_added and (CONF / group).is_dir():
        return
    is_chosen_by_default = group in compose_options(config_name, ()).all_choices
    if is_added and is_chosen_by_default:
        raise ConfigError(
            override.get_key_element(), value, problem="an option of this group is already chosen; remove the +"
        )
    if override.is_force_add() or not (is_added or is_chosen_by_default):
        problem = "no option of this group is chosen by default, so it must begin with one +"
        raise ConfigError(override.get_key_element(), value, problem=problem, suggestion=f"+{group}={value}")


def _option_names(group: str, config_name: str, search_paths: Sequence[str]) -> list[str]:
    if not search_paths:
        return option_names(group)
    options = config_loader().get_group_options(group, config_name=config_name, overrides=list(search_paths))
    return sorted({*option_names(group), *options})


def _all_known(composition: "Composition") -> list[str]:
    """Return everything that may be typed before `=`: keys and groups."""
    return [*composition.known_keys, *composition.all_choices, *known_groups()]


def unknown_option_error(group: str, option: str, options: Sequence[str]) -> ConfigError:
    """Return the error for an option that does not exist, with those that do and the nearest one."""
    suggestion = suggest(option, options)
    listed = list(options)
    if len(options) > _MAX_LISTED:
        folder = suggestion.rpartition("/")[0] if suggestion else ""
        listed = [name for name in options if name.rpartition("/")[0] == folder]
        listed += ["..."] if folder else sorted({f"{name.partition('/')[0]}/..." for name in options if "/" in name})
    return ConfigError(group, option, problem=f"unknown option; allowed: {', '.join(listed)}", suggestion=suggestion)


def check_keys(overrides: Iterable[Override], composition: Composition) -> None:
    """Check that every setting that is typed exists, before the overrides are applied.

    Raises:
        ConfigError: one does not, is added although it exists, or is deleted.
    """
    for override in overrides:
        check_key(override, composition)


def check_key(override: Override, composition: Composition) -> None:
    """Check that a setting that is typed exists.

    Raises:
        ConfigError: it does not, is added although it exists, or is deleted.
    """
    if is_choice(override):
        return
    key, value = override.key_or_group, value_text(override)
    parent = _nearest_parent(composition, key)
    is_known = parent is _KNOWN
    if override.is_delete():
        raise deleted_key_error(str(override.input_line), key, composition.flat_settings)
    if is_known and override.is_add():
        raise ConfigError(f"+{key}", value, problem="key already exists; remove the +")
    is_open = parent is None or (parent == {} and key.startswith("hydra.")) or is_new_part(key, composition)
    if not is_known and not (is_open and (override.is_add() or override.is_force_add())):
        if is_new_part(key, composition):
            raise _unknown_part_error(key, value)
        raise unknown_key_error(key, value, _all_known(composition))


def _unknown_part_error(key: str, value: str) -> ConfigError:
    group, name = key.split(".")[:2]
    options = option_names(group)
    if name in options:
        return ConfigError(key, value, problem=f"only valid with {group}=[{name}]")
    allowed = f"options: {', '.join(options)}; a part of your own has {group}.{name}._target_"
    problem = f"there is no {group}.{name}; {allowed}"
    return ConfigError(key, value, problem=problem, suggestion=suggest(name, options, cutoff=0.6))


def is_new_part(key: str, composition: Composition) -> bool:
    """Return whether a key is a setting of a part that no chosen option has: `metrics.top5.top_k`."""
    group, _, rest = key.partition(".")
    name, _, setting = rest.partition(".")
    is_setting = bool(name and setting) and group in LIST_GROUPS
    return is_setting and not is_known_key(f"{group}.{name}", composition)


def is_known_key(key: str, composition: Composition) -> bool:
    """Return whether there is a setting, or a node of several, with this dotted key."""
    return _nearest_parent(composition, key) is _KNOWN


_KNOWN = object()


def _nearest_parent(composition: Composition, key: str) -> Any:
    """Return the value of the longest part of a key that exists, or `_KNOWN` if all of it does."""
    node: Any = {**composition.unresolved, "hydra": composition.hydra}
    for name in key.split("."):
        if isinstance(node, dict) and name in node:
            node = node[name]
        elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        else:
            return node
    return _KNOWN


def apply_overrides(overrides: Sequence[Override], composition: Composition) -> dict[str, Any] | None:
    """Return all settings, unresolved, after overrides with plain values; None if only Hydra can apply one of them."""
    settings: dict[str, Any] = _copy(composition.unresolved)
    for override in overrides:
        if is_choice(override):
            continue
        *parents, name = override.key_or_group.split(".")
        node: Any = settings
        for parent in parents:
            if isinstance(node, list):
                node = dict(zip(map(str, range(len(node))), node, strict=True))
            node = node.get(parent) if isinstance(node, dict) else None
        value = override.value()
        is_plain = value is None or isinstance(value, bool | int | float | str) or _is_plain_list(value)
        if not is_plain or not isinstance(node, dict) or name not in node or isinstance(node[name], dict):
            return None
        node[name] = _copy(value)
    return settings


def _is_plain_list(value: Any) -> bool:
    return isinstance(value, list) and all(item is None or isinstance(item, bool | int | float | str) for item in value)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
