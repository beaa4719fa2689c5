"""Folders of runs, damaged ones among them."""

from pathlib import Path

import pytest

from cnn_experiments.errors import Refusal
from cnn_experiments.runs.records import damaged_curves, find, number
from tests.stored_runs import MakeRun


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
    assert any(
        line.endswith("other/results.json: TypeError: metrics, options: not as a run writes it") for line in damaged
    )


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"nothing: must be a run's folder or one with runs below it"):
        find([tmp_path / "nothing"])


def test_a_curve_that_cannot_be_read_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    whole = {"epoch": [1, 2], "val/acc": [0.5, 0.75]}
    make_run("a", None, curves=whole)
    for name, content in {
        "b": "epoch,val/acc\n1,0.5\n2,ab\n",
        "c": "epoch,val/acc\n1,nan\n",
        "d": "epoch,val/acc\n1,0.5\n\0\0\0\0\n",
        "e": b"epoch,val/acc\n\xff\xfe\n",
        "f": None,
    }.items():
        path = make_run(name, None) / "metrics.csv"
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    lines = damaged_curves(find([tmp_path / "runs"])[0])
    assert [Path(line.partition(": ")[0]).parent.name for line in lines] == ["b", "c", "d", "e", "f"]
    assert [line.rpartition("; ")[2] for line in lines[:2]] == ["no curve of val/acc"] * 2
    assert {line.rpartition("; ")[2] for line in lines[2:]} == {"no curve of val/acc, test/acc, train/loss"}


def test_figures_are_finite_numbers() -> None:
    assert [number(value) for value in (1, 0.5, True, "1", None, float("nan"), float("inf"))] == [1, 0.5, *[None] * 5]


def test_curves_are_columns(make_run: MakeRun) -> None:
    make_run("run", None, curves={"epoch": [1, 2], "test/acc": [0.5, 0.75]})
    make_run("without", None)
    (run, without), _ = find([make_run("third", None).parent / "run", make_run("fourth", None).parent / "without"])
    assert run.curve("test/acc") == [0.5, 0.75]
    assert run.curve("val/acc") == []
    assert without.curve("test/acc") == []
