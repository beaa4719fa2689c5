"""The leaderboard of thousands of runs, and what is written of it."""

from pathlib import Path

import pytest

from cnn_experiments.errors import Refusal
from cnn_experiments.report.leaderboard.show import show
from tests.stored_runs import MakeRun


def test_files_are_written_whole_and_alone(
    make: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make("a0", "a", 0, 0.8, 0.8)
    make("b0", "b", 0, 0.9, 0.7)
    (make("c0", "c", 0, 0.9, 0.7) / "results.json").write_text('{"status": "comp')
    show([Path("runs")], to=Path("runs"), by="test/acc")
    said = capsys.readouterr().out
    assert "fashion_mnist at 28 pixels, holdout, by test/acc" in said
    assert said.index("│ a ") < said.index("│ b ")
    assert "damaged, skipped: runs/c0/results.json: JSONDecodeError: Unterminated string" in said
    assert said.splitlines()[-1] == ("written: runs/leaderboard.csv, runs/leaderboard.md, runs/leaderboard.html")
    files = sorted(path.name for path in Path("runs").iterdir() if path.is_file())
    assert files == ["leaderboard.csv", "leaderboard.html", "leaderboard.md"]


def test_where_nothing_can_be_written_it_is_printed_all_the_same(
    make: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make("a0", "a", 0, 0.8, 0.8)
    (tmp_path / "file").write_text("")
    show([tmp_path / "runs"], to=tmp_path / "file" / "below")
    said = capsys.readouterr().out
    assert "fashion_mnist at 28 pixels" in said
    assert said.splitlines()[-1] == f"not written to {tmp_path / 'file' / 'below'}: Not a directory"


def test_a_setting_sorts_by_its_whole_name_too(
    make: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for lr in (0.2, 0.1):
        make(str(lr), "a", 0, lr, lr, settings={"optimizer.lr": lr}, overrides=[f"optimizer.lr={lr}"], configuration=lr)
    show([tmp_path / "runs"], to=None, by="optimizer.lr")
    said = capsys.readouterr().out
    assert "by lr\n" in said.replace(" ", "").replace("bylr", "by lr")
    assert said.index("│ 0.1 ") < said.index("│ 0.2 ")


def test_damage_alone_is_refused(make: MakeRun, tmp_path: Path) -> None:
    (make("a0", "a", 0, 0.8, 0.8) / "results.json").write_text("")
    with pytest.raises(Refusal, match=r"runs: there is no run that can be read; .*a0/results.json: JSONDecodeError"):
        show([tmp_path / "runs"], to=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_folder_of_failures_has_no_board(make: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make("a0", "a", 0, None, None, status="failed", error="diverged")
    show([tmp_path / "runs"], to=None)
    assert capsys.readouterr().out == "without a result: a: 1 failed (diverged)\n"
