"""Tests that every cell of every text notebook does what Jupyter would show of it.

The cells train on the real images where they are at hand, on few batches.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

import cnn_experiments
from cnn_experiments import LoadedRun
from cnn_experiments.api import training
from cnn_experiments.runs.status import Status
from tests.conftest import DATA_ROOT, HAS_FASHION_MNIST, ROOT
from tests.docs.pages import PAGES, code_cells, is_text_notebook

FEW_BATCHES = ("trainer.limit_train_batches=2", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1")


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LoadedRun]]:
    """Train on few batches, draw pictures on no screen, and work in an empty directory; yield the list of runs."""
    runs: list[LoadedRun] = []

    def train_shortly(*overrides: str, **options: Any) -> LoadedRun:
        runs.append(training.train(*overrides, *FEW_BATCHES, **options))
        return runs[-1]

    monkeypatch.setenv("CNN_EXPERIMENTS_DATA", str(DATA_ROOT))
    monkeypatch.setenv("COURSE_DATA", "fashion_mnist" if HAS_FASHION_MNIST else "digits")
    monkeypatch.setattr(cnn_experiments, "train", train_shortly, raising=False)
    monkeypatch.chdir(tmp_path)
    with mpl.rc_context({"backend": "agg"}):
        yield runs
    plt.close("all")


def run_cell(source: str, name: str, namespace: dict[str, Any]) -> Any:
    """Run a cell, and return the value of its last line if that is an expression: what Jupyter shows."""
    module = ast.parse(source, name)
    last = module.body.pop() if isinstance(module.body[-1], ast.Expr) else None
    exec(compile(module, name, "exec"), namespace)  # noqa: S102
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), name, "eval"), namespace)  # noqa: S307


def is_shown(value: Any) -> bool:
    """Return whether Jupyter has something to show of a value: a picture, a table or a text."""
    if hasattr(value, "_repr_png_"):
        return bool(value._repr_png_().startswith(b"\x89PNG"))
    if hasattr(value, "_repr_html_"):
        return "<" in value._repr_html_()
    return bool(repr(value))


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if is_text_notebook(page)],
    ids=lambda page: page.relative_to(ROOT / "docs").as_posix(),
)
def test_every_cell_runs_and_shows_its_value(page: Path, trained: list[LoadedRun]) -> None:
    cells = code_cells(page)
    assert len(cells) == page.read_text().count("{code-cell}")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, source in enumerate(cells, start=1):
        name = f"{page.name}, cell {number}"
        value = run_cell(source, name, namespace)
        assert value is None or is_shown(value), name
    assert trained, "no cell trains a network"
    assert [run.directory for run in trained if run.status != Status.COMPLETED or "test/acc" not in run.metrics] == []


def test_value_that_can_not_be_shown_is_found() -> None:
    class Broken:
        def _repr_png_(self) -> bytes:
            return b""

    assert not is_shown(run_cell("x = 1\nBroken()", "cell", {"Broken": Broken}))
    assert run_cell("x = 1\nx + 1", "cell", {}) == 2
    assert run_cell("x = 1", "cell", {}) is None
