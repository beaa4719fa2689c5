"""Tests of the progress bar."""

import io

import pytest
import rich
from rich.console import Console

from cnn_experiments.runtime import progress
from cnn_experiments.runtime.progress import with_progress


@pytest.mark.parametrize(
    ("is_terminal", "delay", "is_shown"), [(True, -1.0, True), (True, 1e6, False), (False, -1.0, False)]
)
def test_bar_is_shown_on_a_terminal_for_what_takes_long(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, delay: float, is_shown: bool
) -> None:
    output = io.StringIO()
    terminal = Console(file=output, force_terminal=is_terminal)
    monkeypatch.setattr(rich, "get_console", lambda: terminal)
    monkeypatch.setattr(progress, "_DELAY_SECONDS", delay)
    assert list(with_progress("abc", "reading")) == ["a", "b", "c"]
    assert ("reading" in output.getvalue()) == is_shown
