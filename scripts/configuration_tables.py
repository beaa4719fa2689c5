"""The reference of the configuration in Markdown: options, and settings with their values, default and meaning."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from configuration_files import RECIPES, SWEEPER, Option, Setting
from setting_values import constructor_ranges, is_interpolation, referenced_key, values_of

from cnn_experiments.config.rules import MISSING
from cnn_experiments.config.schema import LIST_GROUPS
from cnn_experiments.markdown import escape_markdown, markdown_table
from cnn_experiments.runs.fingerprint import SWEEP_KEYS

_LITERAL = re.compile(r"(`[^`]+`|https://[^\s),;]+)")
"""Code, and addresses."""


def options_table(options: Sequence[Option]) -> str:
    """Return a table of the options of a group, with what each is and what makes it."""
    rows = [
        [f"`{option.name}`", _option_meaning(option), f"`{option.target}`" if option.target else ""]
        for option in options
    ]
    num_columns = 3 if any(option.target for option in options) else 2
    header = ["option", "meaning", "class or function"]
    return markdown_table(header[:num_columns], [row[:num_columns] for row in rows], [True] * num_columns)


def recipes_table(recipes: Sequence[Option]) -> str:
    """Return a table of the recipes, with what was published and what each sets beside those that it builds on."""
    rows = [
        [f"`{recipe.name}`", _text(recipe.meaning.partition("Reached:")[0].strip()), _sets(recipe)]
        for recipe in recipes
    ]
    return markdown_table(["recipe", "meaning", "sets"], rows, [True] * 3)


def settings_table(options: Sequence[Option]) -> str:
    """Return a table of all settings of the options of a group; those that mean the same are one row."""
    rows: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    ranges_of = {option.name: constructor_ranges(option) for option in options if option.base is None}
    base_of = {option.name: option.base for option in options if option.base is not None}
    for option in options:
        base = option.name
        while base in base_of:
            base = base_of[base]
        ranges = ranges_of[base]
        for setting in option.settings:
            identity = (setting.key, values_of(setting, option, ranges), setting.meaning)
            names = rows.setdefault(identity, {}).setdefault(_default_text(setting.default), [])
            names.append(option.name)
    is_list = options[0].group in LIST_GROUPS  # whose keys have the name of the option
    lines = [
        [f"`{key}`", escape_markdown(values), _defaults_cell(defaults, 1 if is_list else len(options)), _text(meaning)]
        for (key, values, meaning), defaults in sorted(rows.items(), key=lambda row: _first_place(row[0][0], options))
    ]
    return _table(lines)


def main_settings_tables(settings: Sequence[Setting]) -> dict[str, str]:
    """Return the tables of the settings that belong to no option: those of a run, and those of a sweep as a whole."""
    of_sweep = [setting for setting in settings if setting.key in (*SWEEP_KEYS, "hydra.sweep.dir")]
    of_run = [setting for setting in settings if setting not in of_sweep]
    return {"run": _main_table(of_run), "sweep": _main_table(of_sweep)}


def _main_table(settings: Sequence[Setting]) -> str:
    return _table(
        [
            [
                f"`{setting.key}`",
                escape_markdown(values_of(setting, None, {})),
                _default_text(setting.default),
                _text(setting.meaning),
            ]
            for setting in settings
        ]
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    return markdown_table(["setting", "values", "default", "meaning"], rows, [True] * 4)


def _default_text(default: Any) -> str:
    """Return a default in Markdown; one that follows from something else in words."""
    if default == MISSING:
        return "must be given"
    if referenced := referenced_key(default):
        return f"that of `{referenced}`"
    if is_interpolation(default):
        if variable := re.fullmatch(r"\$\{oc\.env:(\w+),(.*)\}", default):
            return f"`{variable[2]}`, or the environment variable `{variable[1]}`"
        if default.startswith(("${image_arrays:", "${image_folder:")):
            return "from the images"
        if by_value := re.fullmatch(r"\$\{by_value:([\w.]+),.*\}", default):
            return f"by `{by_value[1]}`"
    return f"`{_typed(default)}`"


def _typed(value: Any) -> str:
    """Return a value as it is typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_typed(item)}" for key, item in value.items()) + "}"
    return str(value)


def _defaults_cell(defaults: Mapping[str, Sequence[str]], num_options: int) -> str:
    """Return the defaults of a setting; the options are named unless all have the same one."""
    if len(defaults) == 1 and len(next(iter(defaults.values()))) == num_options:
        return next(iter(defaults))
    by_frequency = sorted(defaults.items(), key=lambda item: -len(item[1]))
    return "; ".join(f"{default} ({', '.join(names)})" for default, names in by_frequency)


def _text(comment: str) -> str:
    """Return a comment in Markdown, with its code and its addresses."""
    parts = _LITERAL.split(comment)
    for place, part in enumerate(parts):
        if place % 2 == 0:
            spaces = part[: len(part) - len(part.lstrip())], part[len(part.rstrip()) :] if part.strip() else ""
            parts[place] = spaces[0] + escape_markdown(part) + spaces[1]
        elif part.startswith("https"):
            parts[place] = f"<{part}>"
    return "".join(parts)


def _first_place(key: str, options: Sequence[Option]) -> int:
    """Return where a setting comes in the files: that of the first option that has it, then those that others add."""
    keys = list(dict.fromkeys(setting.key for option in options for setting in option.settings))
    return keys.index(key)


def _option_meaning(option: Option) -> str:
    meaning = _text(option.meaning)
    if option.base is None:
        return meaning
    changes = " ".join(f"{setting.key}={_typed(setting.default)}" for setting in option.changes)
    return f"{meaning} `{option.base}` with `{changes}`."


def _sets(recipe: Option) -> str:
    settings = [f"{setting.key}={_typed(setting.default)}" for setting in recipe.settings]
    changes = " ".join([*recipe.choices, *settings])
    bases = " and ".join(f"`{base}`" for base in recipe.bases)
    return " with ".join(filter(None, [bases, f"`{changes}`" if changes else ""]))


def configuration_parts(options: Sequence[Option], main: Sequence[Setting]) -> dict[str, str]:
    """Return the tables of the page by name: `options/model`, `settings/model`, `settings/run`."""
    parts = {f"settings/{name}": table for name, table in main_settings_tables(main).items()}
    for group in dict.fromkeys(option.group for option in options):
        members = [option for option in options if option.group == group]
        name = group.replace("/", "_")
        if group == RECIPES:
            parts[f"options/{name}"] = recipes_table(members)
            continue
        parts[f"options/{name}"] = options_table(members)
        members = [option for option in members if group != SWEEPER or option.base is None]
        if any(option.settings for option in members):
            parts[f"settings/{name}"] = settings_table(members)
    return parts
