"""The options of the configuration and their settings, with the comments of the YAML files: what each means."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

RECIPES = "experiment"
SWEEPER = "hydra/sweeper"
_GLOBAL_GROUPS = ("task", RECIPES)
"""Groups whose files begin with `# @package _global_`: the keys in them are complete."""
_WITHOUT_SETTINGS = ("hydra/job_logging",)
"""Groups whose files are no settings of this program, but the content of a dictionary that Python's logging reads."""
_HYDRA_KEYS = ("hydra.run.dir", "hydra.sweep.dir")
"""The settings of Hydra that `config.yaml` sets and that may be typed."""


@dataclass(frozen=True)
class Setting:
    """A key with a default."""

    key: str
    """As it is typed: `optimizer.lr`."""
    default: Any
    """Not resolved: `${data.channels}`."""
    meaning: str
    """The comment after it; empty if there is none."""


@dataclass(frozen=True)
class Option:
    """A file of a group."""

    group: str
    name: str
    meaning: str
    """The comment at its beginning, without the commands in it; empty if there is none."""
    bases: tuple[str, ...]
    """The options of the same group that it changes: one, or several of a recipe."""
    choices: tuple[str, ...]
    """The options of other groups that a recipe chooses: `model=lenet`."""
    target: str | None
    """The class or function that makes the part."""
    settings: tuple[Setting, ...]
    """Those of its base among them."""
    changes: tuple[Setting, ...]
    """Those that are in the file itself."""

    @property
    def base(self) -> str | None:
        """Return the option that it changes, if there is one."""
        return self.bases[0] if self.bases else None


def read_options(conf: Path) -> list[Option]:
    """Return all options below a directory, ordered by group and name."""
    files = {
        path.relative_to(conf).with_suffix("").as_posix(): path for path in conf.rglob("*.yaml") if path.parent != conf
    }
    options = {name: _read_option(name, path) for name, path in sorted(files.items())}
    return [_with_base(option, options) for option in options.values()]


def read_main_settings(conf: Path) -> list[Setting]:
    """Return the settings of `config.yaml`, which belong to no option."""
    groups = {path.name for path in conf.iterdir() if path.is_dir()}
    text = (conf / "config.yaml").read_text(encoding="utf-8")
    settings = list(_settings(yaml.compose(text, yaml.SafeLoader), text.splitlines()))
    return [
        setting
        for setting in settings
        if setting.key not in groups and (not setting.key.startswith("hydra.") or setting.key in _HYDRA_KEYS)
    ]


def _read_option(name: str, path: Path) -> Option:
    group = _group_of(name)
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    node = yaml.compose(text, yaml.SafeLoader)
    content = yaml.safe_load(text) or {}
    part = content if "_target_" in content else next(iter(content.values()), None)
    prefix = () if group in _GLOBAL_GROUPS else tuple(group.split("/"))
    settings = () if group in _WITHOUT_SETTINGS else tuple(_settings(node, lines, prefix))
    entries = content.get("defaults", ())
    bases = [_group_and_name(entry)[1] for entry in entries if isinstance(entry, str)]
    choices = [choice for entry in entries if isinstance(entry, dict) for choice in _choices(entry)]
    return Option(
        group=group,
        name=name.removeprefix(f"{group}/"),
        meaning=_header(lines),
        bases=tuple(bases),
        choices=tuple(choices),
        target=part.get("_target_") if isinstance(part, dict) else None,
        settings=settings,
        changes=settings,
    )


def _group_of(name: str) -> str:
    names = name.split("/")
    return "/".join(names[:2]) if names[0] == "hydra" else names[0]


def _group_and_name(entry: str) -> tuple[str | None, str]:
    """Return the group, if it is named, and the option: of `/experiment/book/sgd@_here_`, `book/sgd`."""
    path = entry.partition("@")[0]
    if not path.startswith("/"):
        return None, path
    group = _group_of(path[1:])
    return group, path[1:].removeprefix(f"{group}/")


def _choices(entry: Mapping[str, Any]) -> Iterator[str]:
    for key, option in entry.items():
        group = key.removeprefix("override ").removeprefix("/")
        names = f"[{','.join(option)}]" if isinstance(option, list) else option
        yield f"{group}={names}"


def _header(lines: Sequence[str]) -> str:
    """Return the comment at the beginning, without the line for Hydra and the command of a recipe."""
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        words = line.removeprefix("#").strip()
        if not words.startswith(("@package", "python -m ")):
            comment.append(words)
    return " ".join(comment)


def _settings(node: yaml.Node | None, lines: Sequence[str], prefix: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Yield the settings of a mapping and of the mappings in it, in their order."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key_node, value in node.value:
        name = key_node.value
        if name in ("defaults", "_target_", "_partial_"):
            continue
        key = (*prefix, name)
        is_dictionary = isinstance(value, yaml.MappingNode)
        if is_dictionary and value.value and name != "params":  # `params` of a sweeper is one setting
            yield from _settings(value, lines, key)
            continue
        if is_dictionary and key == ("task",):  # of a task without settings
            continue
        end = key_node.end_mark if is_dictionary and value.value else value.end_mark
        comment = lines[end.line][end.column :].partition("#")[2] if end.line < len(lines) else ""
        default = yaml.SafeLoader("").construct_document(value)
        yield Setting(".".join(key), default, comment.strip())


def _with_base(option: Option, options: Mapping[str, Option]) -> Option:
    """Return an option with the settings of the option that it changes, and their meanings."""
    if option.base is None or option.group == RECIPES:
        return option
    base = _with_base(options[f"{option.group}/{option.base}"], options)
    changed = {setting.key: setting for setting in option.settings}
    inherited = [
        replace(setting, default=changed[setting.key].default, meaning=changed[setting.key].meaning or setting.meaning)
        if setting.key in changed
        else setting
        for setting in base.settings
    ]
    added = [setting for key, setting in changed.items() if key not in {setting.key for setting in base.settings}]
    return replace(option, settings=(*inherited, *added), target=option.target or base.target)
