"""Tests that the code of every text notebook runs, on the real images where they are at hand, with few batches."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

import cnn_experiments
from cnn_experiments.api import training
from tests.conftest import ROOT
from tests.docs.pages import PAGES, code_cells, is_text_notebook

FEW_BATCHES = ("trainer.limit_train_batches=2", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1")


@pytest.fixture
def notebook_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Train on few batches, show pictures nowhere, and work in an empty directory."""
    data = Path(os.environ.get("CNN_EXPERIMENTS_DATA", ROOT / "data")).absolute()
    has_images = (data / "FashionMNIST" / "raw" / "train-images-idx3-ubyte.gz").exists()
    monkeypatch.setenv("CNN_EXPERIMENTS_DATA", str(data))
    monkeypatch.setenv("COURSE_DATA", "fashion_mnist" if has_images else "digits")
    monkeypatch.setattr(cnn_experiments, "train", functools.partial(train_shortly, training.train), raising=False)
    monkeypatch.chdir(tmp_path)
    with mpl.rc_context({"backend": "agg"}):
        yield tmp_path
    plt.close("all")


def train_shortly(train: Any, *overrides: str, **options: Any) -> Any:
    return train(*overrides, *FEW_BATCHES, **options)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if is_text_notebook(page)],
    ids=lambda page: page.relative_to(ROOT / "docs").as_posix(),
)
def test_every_cell_runs(page: Path, notebook_directory: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(code_cells(page), start=1):
        exec(compile(cell, f"{page.name}, cell {number}", "exec"), namespace)  # noqa: S102
