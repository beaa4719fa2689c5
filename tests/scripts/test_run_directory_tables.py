"""Tests that the page about run directories lists what the code writes."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from run_directory_tables import files_table, keys_table

from cnn_experiments.runs.directory import FILES
from cnn_experiments.runs.results import RunResults
from tests.conftest import ROOT

Train = Callable[..., Path]


def test_tables_have_every_file_and_every_key() -> None:
    assert [line.split("`")[1] for line in files_table().splitlines()[2:]] == list(FILES)
    assert [line.split("`")[1] for line in keys_table().splitlines()[2:]] == [key.name for key in fields(RunResults)]


def test_keys_have_types_in_the_words_of_json() -> None:
    rows = keys_table().splitlines()
    assert "| `status` | string | `running`, `completed`, `failed` or `interrupted` |" in rows
    assert "| `tested_epoch` | integer or null | the epoch whose checkpoint was tested, from 1 |" in rows


def test_page_includes_both_tables() -> None:
    page = (ROOT / "docs" / "reference" / "run_directory.md").read_text()
    assert page.count("{include} ../generated/run_directory/files.md") == 1
    assert page.count("{include} ../generated/run_directory/keys.md") == 1


def test_run_writes_only_files_that_the_page_lists(train: Train) -> None:
    directory = train("run", "trainer=smoke")
    patterns = [name.removesuffix("/") for name in FILES]
    listed_files = {path for pattern in patterns for path in directory.glob(pattern)}
    assert {path for path in directory.rglob("*") if path.is_file()} <= listed_files
    assert set(json.loads((directory / "results.json").read_text())) == {key.name for key in fields(RunResults)}
