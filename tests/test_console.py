"""Tables on terminals of any width."""

from io import StringIO

import pytest
import rich
from rich.console import Console
from rich.table import Table

from cnn_experiments.console import print_table


def table() -> Table:
    made = Table("layers")
    made.add_column("parameters", no_wrap=True)
    made.add_row("Conv2d, ReLU, Conv2d, ReLU, Conv2d, ReLU, MaxPool2d", "1,234,567,890,123,456,789")
    return made


@pytest.mark.parametrize(("width", "lines"), [(85, 1), (20, 7)])
def test_on_a_terminal_what_may_not_fold_stays_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, lines: int
) -> None:
    terminal = Console(file=StringIO(), width=width, force_terminal=True)
    monkeypatch.setattr(rich, "get_console", lambda: terminal)
    print_table(table())
    printed = capsys.readouterr().out
    assert "1,234,567,890,123,456,789" in printed
    assert "MaxPool2d" in printed
    assert "…" not in printed
    assert len([line for line in printed.splitlines() if line.startswith("│")]) == lines


def test_without_a_terminal_nothing_folds(capsys: pytest.CaptureFixture[str]) -> None:
    wide = table()
    wide.add_row("x" * 300, "")
    print_table(wide)
    assert "x" * 300 in capsys.readouterr().out
