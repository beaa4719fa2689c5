"""Fixtures of the tests of the configuration."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cnn_experiments.config import composed
from cnn_experiments.config.hydra_internals import config_loader


@pytest.fixture
def set_argv(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that sets the command line of this process."""

    def set_arguments(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["program", *arguments])

    set_arguments()
    return set_arguments


@pytest.fixture
def config_dir(tmp_path: Path, set_argv: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty directory that `--config-dir` names."""
    directory = tmp_path / "mine"
    directory.mkdir()
    set_argv("--config-dir", str(directory))
    monkeypatch.setattr(composed, "_defaults_cache", {})
    config_loader.cache_clear()
    yield directory
    config_loader.cache_clear()
