"""Tests of printing and writing a leaderboard."""

from pathlib import Path

import pytest

from cnn_experiments.errors import ConfigError
from cnn_experiments.report.leaderboard.show import report_leaderboard
from tests.stored_runs import MakeRun


def test_leaderboard_is_printed_and_written_without_temporary_files(
    make_holdout_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_holdout_run("a0", "a", 0, 0.8, 0.8)
    make_holdout_run("b0", "b", 0, 0.9, 0.7)
    (make_holdout_run("c0", "c", 0, 0.9, 0.7) / "results.json").write_text('{"status": "comp')
    assert report_leaderboard([Path("runs")], output_dir=Path("runs"), sort_by="test/acc")
    output = capsys.readouterr().out
    assert "fashion_mnist at 28 pixels, holdout, by test/acc" in output
    assert output.index("│ a ") < output.index("│ b ")
    assert "damaged, skipped: runs/c0/results.json: not valid JSON: Unterminated string" in output
    assert output.splitlines()[-1] == ("written: runs/leaderboard.csv, runs/leaderboard.md, runs/leaderboard.html")
    files = sorted(path.name for path in Path("runs").iterdir() if path.is_file())
    assert files == ["leaderboard.csv", "leaderboard.html", "leaderboard.md"]


def test_quiet_report_is_written_but_not_printed(
    make_holdout_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_holdout_run("a0", "a", 0, 0.8, 0.8)
    assert report_leaderboard([tmp_path / "runs"], output_dir=tmp_path, quiet=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("written: ")
    assert {"leaderboard.csv", "leaderboard.html", "leaderboard.md"} < {path.name for path in tmp_path.iterdir()}


def test_leaderboard_is_printed_even_if_it_cannot_be_written(
    make_holdout_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_holdout_run("a0", "a", 0, 0.8, 0.8)
    (tmp_path / "file").write_text("")
    assert not report_leaderboard([tmp_path / "runs"], output_dir=tmp_path / "file" / "below")
    output = capsys.readouterr().out
    assert "fashion_mnist at 28 pixels" in output
    assert output.splitlines()[-1] == f"could not write to {tmp_path / 'file' / 'below'}: Not a directory"


def test_column_of_a_setting_is_found_by_its_full_key(
    make_holdout_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for lr in (0.2, 0.1):
        make_holdout_run(
            str(lr),
            "a",
            0,
            lr,
            lr,
            settings={"optimizer.lr": lr},
            overrides=[f"optimizer.lr={lr}"],
            configuration=str(lr),
        )
    report_leaderboard([tmp_path / "runs"], output_dir=None, sort_by="optimizer.lr")
    output = capsys.readouterr().out
    assert "by lr\n" in output.replace(" ", "").replace("bylr", "by lr")
    assert output.index("│ 0.1 ") < output.index("│ 0.2 ")


def test_report_of_damaged_runs_alone_is_an_error(make_holdout_run: MakeRun, tmp_path: Path) -> None:
    (make_holdout_run("a0", "a", 0, 0.8, 0.8) / "results.json").write_text("")
    with pytest.raises(
        ConfigError, match=r"runs: no run can be read; .*a0/results.json: not valid JSON: Expecting value"
    ):
        report_leaderboard([tmp_path / "runs"], output_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_failed_runs_alone_have_no_table(
    make_holdout_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_holdout_run("a0", "a", 0, None, None, status="failed", error="diverged")
    report_leaderboard([tmp_path / "runs"], output_dir=None)
    assert capsys.readouterr().out == "without a result: a: 1 failed (diverged)\n"
