"""Writes the tables of docs/reference/run_directory.md from the code that defines them.

They are the files of a run and the keys of results.json.

`python scripts/update_run_docs.py`
"""

from dataclasses import Field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

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
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "run_directory.md"


def files_table() -> str:
    """Return a Markdown table of the files in a run's directory."""
    return _table(("file", "content"), [(f"`{name}`", content) for name, content in FILES.items()])


def keys_table() -> str:
    """Return a Markdown table of the keys of results.json."""
    rows = [(f"`{key.name}`", _type_name(key), key.metadata["meaning"]) for key in fields(RunResults)]
    return _table(("key", "type", "meaning"), rows)


def updated_page(text: str) -> str:
    """Return the page with its two tables written again."""
    for name, table in {"files": files_table(), "keys": keys_table()}.items():
        before, begin, rest = text.partition(f"<!-- {name}: written by scripts/update_run_docs.py -->\n")
        _, end, after = rest.partition("\n<!-- end -->")
        text = before + begin + table + end + after
    return text


def _type_name(key: Field[Any]) -> str:
    """Return the type of a key in the words of JSON."""
    kinds = get_args(key.type) if isinstance(key.type, UnionType) else (key.type,)
    names = [_JSON_NAMES[get_origin(kind) or kind] for kind in kinds]
    return " or ".join(names)


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(updated_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
