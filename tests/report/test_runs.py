"""Folders of runs, damaged ones among them."""

from pathlib import Path

import pytest

from cnn_experiments.errors import Refusal
from cnn_experiments.report.runs import find
from tests.report.conftest import MakeRun


def test_every_run_is_found_once(make_run: MakeRun, tmp_path: Path) -> None:
    first, second = make_run("b/1", None, seed=1), make_run("a/2", None, seed=2)
    runs, damaged = find([tmp_path / "runs", second, tmp_path / "runs" / "b"])
    assert [run.folder for run in runs] == [second, first]
    assert damaged == []


def test_damaged_runs_are_named_and_skipped(make_run: MakeRun, tmp_path: Path) -> None:
    whole = make_run("whole", None)
    contents = {
        "cut": '{"status": "compl',
        "list": "[]",
        "other": '{"status": "completed", "model": "lenet", "options": [], "overrides": [], "seed": 0}',
        "number": "3",
    }
    for name, content in contents.items():
        (tmp_path / "runs" / name).mkdir()
        (tmp_path / "runs" / name / "results.json").write_text(content)
    runs, damaged = find([tmp_path / "runs"])
    assert [run.folder for run in runs] == [whole]
    assert [Path(line.partition(": ")[0]).parent.name for line in damaged] == sorted(contents)
    assert any(line.endswith("other/results.json: TypeError: no metrics, options as a run has it") for line in damaged)


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"nothing: must be a run's folder or one with runs below it"):
        find([tmp_path / "nothing"])


def test_curves_are_columns(make_run: MakeRun) -> None:
    make_run("run", None, curves={"epoch": [1, 2], "test/acc": [0.5, 0.75]})
    make_run("without", None)
    (run, without), _ = find([make_run("third", None).parent / "run", make_run("fourth", None).parent / "without"])
    assert run.curve("test/acc") == [0.5, 0.75]
    assert run.curve("val/acc") == []
    assert without.curve("test/acc") == []
