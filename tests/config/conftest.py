"""Fixtures of the tests of the configuration."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cnn_experiments.config.composition import compose_options, known_groups
from cnn_experiments.config.hydra_internals import config_loader
from cnn_experiments.config.overrides import parse_override


@pytest.fixture
def set_argv(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that sets the command line of this process."""

    def set_arguments(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["program", *arguments])

    set_arguments()
    return set_arguments


@pytest.fixture
def config_dir(tmp_path: Path, set_argv: Callable[..., None]) -> Iterator[Path]:
    """Return an empty directory that `--config-dir` names."""
    directory = tmp_path / "mine"
    directory.mkdir()
    set_argv("--config-dir", str(directory))
    _clear_caches()
    yield directory
    _clear_caches()


def _clear_caches() -> None:
    for function in (config_loader, compose_options, known_groups, parse_override):
        function.cache_clear()
