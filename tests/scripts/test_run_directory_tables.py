"""Tests that the page about run directories lists what the code writes."""

import json
import runpy
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from cnn_experiments.runs.directory import FILES
from cnn_experiments.runs.results import RunResults
from tests.conftest import ROOT

Train = Callable[..., Path]


def test_page_lists_every_file_and_every_key() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "update_run_docs.py"))
    page = script["PAGE"].read_text()
    assert page == script["updated_page"](page)
    assert all(f"| `{name}` |" in page for name in FILES)
    assert all(f"| `{key.name}` |" in page for key in fields(RunResults))


def test_run_writes_only_files_that_the_page_lists(train: Train) -> None:
    directory = train("run", "trainer=smoke")
    patterns = [name.removesuffix("/") for name in FILES]
    listed_files = {path for pattern in patterns for path in directory.glob(pattern)}
    assert {path for path in directory.rglob("*") if path.is_file()} <= listed_files
    assert set(json.loads((directory / "results.json").read_text())) == {key.name for key in fields(RunResults)}
