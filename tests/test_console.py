"""Tests of tables on terminals of any width."""

import logging
from io import StringIO
from pathlib import Path

import pytest
import rich
from rich.console import Console
from rich.table import Table

from cnn_experiments.console import (
    ConsoleHandler,
    announce,
    cell,
    fits_terminal,
    print_error,
    print_line,
    print_table,
    relative_path,
    shorten,
    shorten_path,
    table_title,
)


def make_table() -> Table:
    table = Table("layers")
    table.add_column("parameters", no_wrap=True)
    table.add_row("Conv2d, ReLU, Conv2d, ReLU, Conv2d, ReLU, MaxPool2d", "1,234,567,890,123,456,789")
    return table


@pytest.mark.parametrize(("width", "num_lines"), [(85, 1), (20, 7)])
def test_column_that_must_not_wrap_stays_whole_on_any_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, num_lines: int
) -> None:
    terminal = Console(file=StringIO(), width=width, force_terminal=True)
    monkeypatch.setattr(rich, "get_console", lambda: terminal)
    print_table(make_table())
    output = capsys.readouterr().out
    assert "1,234,567,890,123,456,789" in output
    assert "MaxPool2d" in output
    assert "…" not in output
    assert len([line for line in output.splitlines() if line.startswith("│")]) == num_lines


def test_names_are_no_markup_of_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("[b]network", title=table_title("out[/x]\x1b"))
    table.add_row("[i]lenet")
    table.add_row(cell("[/i]nin"))
    print_table(table)
    output = capsys.readouterr().out
    assert all(text in output for text in ("[b]network", "out[/x]\\x1b", "[i]lenet", "[/i]nin"))


def test_nothing_wraps_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = make_table()
    table.add_row("x" * 300, "")
    print_table(table)
    assert "x" * 300 in capsys.readouterr().out


@pytest.mark.parametrize(("width", "fits"), [(85, True), (20, False)])
def test_table_fits_a_terminal_that_is_wide_enough(monkeypatch: pytest.MonkeyPatch, width: int, fits: bool) -> None:
    terminal = Console(file=StringIO(), width=width, force_terminal=True)
    monkeypatch.setattr(rich, "get_console", lambda: terminal)
    assert fits_terminal(make_table()) == fits


def test_table_always_fits_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rich, "get_console", lambda: Console(file=StringIO(), width=20))
    assert fits_terminal(make_table())


def test_path_is_relative_below_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert relative_path(tmp_path / "outputs" / "a") == Path("outputs/a")
    assert relative_path(tmp_path.parent) == tmp_path.parent
    assert relative_path(Path("outputs")) == Path("outputs")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("lenet ± ⌀ 网", "lenet ± ⌀ 网"),
        ("seed\u200b=1 \u00e9\u00a0\u4e2d", "seed\\u200b=1 \u00e9\u00a0\u4e2d"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\nb\tc\rd\x00\x7f\x9b", r"a\nb\tc\rd\x00\x7f\x9b"),
        ("\u202eabc\u2066", r"\u202eabc\u2066"),
        ("\ud800", r"\ud800"),
        ("[red]text[/red]", "[red]text[/red]"),
    ],
)
def test_control_characters_never_reach_the_terminal(capsys: pytest.CaptureFixture[str], text: str, line: str) -> None:
    print_line(text)
    print_error(text)
    assert capsys.readouterr() == (f"{line}\n", f"{line}\n")
    table = Table("name")
    table.add_row(cell(text))
    print_table(table)
    assert f" {line} " in capsys.readouterr().out


def test_traceback_of_a_logged_error_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.Logger("test")
    logger.addHandler(ConsoleHandler())
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        logger.exception("failed: %s", "a\nb")
    assert capsys.readouterr().out == "failed: a\nb\n"


def test_long_texts_lose_their_end_and_long_paths_their_beginning() -> None:
    assert (shorten("ankle boot", 10), shorten("ankle boots", 10)) == ("ankle boot", "ankle boo…")
    assert (shorten_path("a/boot.png", 10), shorten_path("shop/boot.png", 10)) == ("a/boot.png", "…/boot.png")


@pytest.mark.parametrize(("is_terminal", "output"), [(True, "8 runs to do in outputs/mine\n"), (False, "")])
def test_start_is_announced_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, output: str
) -> None:
    terminal = Console(file=StringIO(), force_terminal=is_terminal, color_system=None)
    monkeypatch.setattr(rich, "get_console", lambda: terminal)
    announce("8 runs to do in outputs/mine")
    assert isinstance(terminal.file, StringIO)
    assert terminal.file.getvalue() == output
