"""Tests of printing the summary of a run, and of writing pages."""

from pathlib import Path

import pytest

from cnn_experiments.report.run_page.show import report_run, write_run_pages
from tests.predictions.stored_predictions import make_predictions
from tests.stored_runs import MakeRun


def test_run_is_printed_and_its_page_written(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    directory = make_run("a", None, curves={"epoch": [1], "val/acc": [0.5]}, image_size=28)
    make_predictions().save(directory / "predictions.npz")
    assert report_run(Path("runs/a"), Path("runs/a"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "lenet on fashion_mnist at 28 pixels, seed 0: completed"
    assert "│ test/acc      │ 0.8000     │" in lines
    assert lines[-1] == "written: runs/a/run.html"
    assert sorted(path.name for path in directory.iterdir()) == [
        "metrics.csv",
        "predictions.npz",
        "results.json",
        "run.html",
    ]
    assert "<h1>runs/a</h1>" in Path("runs/a/run.html").read_text()


def test_summary_says_what_is_missing(make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = make_run("a", None)
    (directory / "checkpoints").mkdir()
    (directory / "checkpoints" / "best.ckpt").write_bytes(b"")
    assert report_run(directory, tmp_path / "pages")
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "metrics.csv has no epoch, or is missing.",
        "There is no predictions.npz, which the test of a run writes.",
        f"to see what the network gets wrong: python -m cnn_experiments task=evaluate ckpt_path={directory}",
        f"written: {tmp_path / 'pages' / 'run.html'}",
    ]


def test_run_is_printed_even_if_its_page_cannot_be_written(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert not report_run(make_run("a", None), tmp_path / "file" / "below")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "lenet on fashion_mnist, seed 0: completed"
    assert lines[-1] == f"could not write to {tmp_path / 'file' / 'below'}: Not a directory"


def test_link_in_place_of_the_page_is_replaced(make_run: MakeRun, tmp_path: Path) -> None:
    directory = make_run("a", None)
    (tmp_path / "mine").write_text("mine")
    (directory / "run.html").symlink_to(tmp_path / "mine")
    assert report_run(directory, directory)
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (directory / "run.html").is_symlink()


def test_pages_of_all_runs_are_written_and_problems_named(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        make_run(name, None)
    (tmp_path / "runs" / "b" / "run.html").mkdir()
    assert write_run_pages([tmp_path / "runs"]) == (2, 3)
    assert capsys.readouterr().out == f"could not write {tmp_path / 'runs' / 'b' / 'run.html'}: Is a directory\n"
    assert [path.parent.name for path in sorted((tmp_path / "runs").rglob("run.html")) if path.is_file()] == ["a", "c"]
