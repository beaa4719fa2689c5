"""The files of a run and the keys of results.json as tables in Markdown, from the code that defines them."""

from dataclasses import Field, fields
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from cnn_experiments.markdown import markdown_table
from cnn_experiments.runs.directory import FILES
from cnn_experiments.runs.results import RunResults
from cnn_experiments.runs.status import Status

_JSON_NAMES: dict[Any, str] = {
    Status: "string",
    str: "string",
    int: "integer",
    float: "number",
    list: "list",
    dict: "object",
    NoneType: "null",
}


def files_table() -> str:
    """Return a Markdown table of the files in a run's directory."""
    return markdown_table(["file", "content"], [[f"`{name}`", content] for name, content in FILES.items()], [True] * 2)


def keys_table() -> str:
    """Return a Markdown table of the keys of results.json."""
    rows = [[f"`{key.name}`", _type_name(key), key.metadata["meaning"]] for key in fields(RunResults)]
    return markdown_table(["key", "type", "meaning"], rows, [True] * 3)


def _type_name(key: Field[Any]) -> str:
    """Return the type of a key in the words of JSON."""
    kinds = get_args(key.type) if isinstance(key.type, UnionType) else (key.type,)
    names = [_JSON_NAMES[get_origin(kind) or kind] for kind in kinds]
    return " or ".join(names)
