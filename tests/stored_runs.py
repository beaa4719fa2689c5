"""Fixtures that write the files of runs without training them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return a function that writes results.json, and metrics.csv if there are curves; it returns the run directory."""

    def make(
        name: str,
        experiment: Any,
        seed: int = 0,
        accuracy: float = 0.8,
        changes: tuple[str, ...] = (),
        curves: dict[str, list[float]] | None = None,
        **results: Any,
    ) -> Path:
        directory = tmp_path / "runs" / name
        directory.mkdir(parents=True)
        defaults = {
            "status": "completed",
            "model": "lenet",
            "data": "fashion_mnist",
            "protocol": "book",
            "parameters": 61_706,
            "multiply_adds": 416_520,
            "precision": "32-true",
            "started": "2026-11-22T10:00:00+00:00",
            "options": {"model": "lenet"} | ({"experiment": experiment} if experiment else {}),
            "overrides": [*([f"experiment={experiment}"] if experiment else []), f"seed={seed}", *changes],
            "seed": seed,
            "metrics": {"test/acc": accuracy, "train/acc": 0.9},
            "epochs": 10,
            "seconds": {"fit": 80.0, "test": 1.0},
            "device": "cpu (AMD EPYC)",
            "versions": {"torch": "2.15.0", "lightning": "2.6.6"},
            "git_commit": "0123456789abcdef",
            "error": None,
            "signal": None,
        }
        (directory / "results.json").write_text(json.dumps(defaults | results))
        if curves:
            lines = [",".join(curves), *(",".join(map(str, row)) for row in zip(*curves.values(), strict=True))]
            (directory / "metrics.csv").write_text("\n".join(lines) + "\n")
        return directory

    return make


@pytest.fixture
def make_holdout_run(make_run: MakeRun) -> MakeRun:
    """Return a function that writes a run of the holdout protocol, whose settings are its model and seed."""

    def make(name: str, model: str, seed: int, val: float | None, test: float | None, **results: Any) -> Path:
        metrics = {"val/acc": val, "test/acc": test}
        settings = results.pop("settings", {})
        if settings is not None:
            settings = {"seed": seed, "data.seed": seed, "compile": False} | settings
        defaults = {
            "model": model,
            "options": {"model": model},
            "overrides": [f"model={model}", f"seed={seed}"],
            "settings": settings,
            "configuration": model,
            "protocol": "holdout",
            "image_size": 28,
            "metrics": {key: value for key, value in metrics.items() if value is not None},
            "images_per_second": {"train": 1000.0 + seed, "test": 2000.0},
            "peak_memory_bytes": 2**30,
        }
        return make_run(name, None, seed, **defaults | results)

    return make
