"""Tests of reading runs and their curves, including damaged ones."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from cnn_experiments.errors import ConfigError
from cnn_experiments.runs.records import describe_damaged_curves, find_runs
from cnn_experiments.runs.results import finite_number
from cnn_experiments.runs.state import RunState
from tests.stored_runs import MakeRun


def test_every_run_is_found_once_in_the_order_of_paths(make_run: MakeRun, tmp_path: Path) -> None:
    first, second = make_run("b/1", None, seed=1), make_run("a/2", None, seed=2)
    runs, damaged = find_runs([tmp_path / "runs", second, tmp_path / "runs" / "b"])
    assert [run.directory for run in runs] == [second, first]
    assert damaged == []


def test_damaged_runs_are_named_and_skipped(make_run: MakeRun, tmp_path: Path) -> None:
    intact = make_run("intact", None)
    contents = {
        "cut": '{"status": "compl',
        "list": "[]",
        "other": '{"status": "completed", "model": "lenet", "data": "digits", "options": [], "overrides": [], "seed": 0}',
        "number": "3",
    }
    for name, content in contents.items():
        (tmp_path / "runs" / name).mkdir()
        (tmp_path / "runs" / name / "results.json").write_text(content)
    (tmp_path / "runs" / "directory" / "results.json").mkdir(parents=True)
    runs, damaged = find_runs([tmp_path / "runs"])
    assert [run.directory for run in runs] == [intact]
    assert [Path(line.partition(": ")[0]).parent.name for line in damaged] == sorted([*contents, "directory"])
    assert damaged[-1] == f"{tmp_path}/runs/other/results.json: missing or of the wrong type: metrics, options"


def test_damaged_run_is_described_as_by_its_state(tmp_path: Path) -> None:
    for name in ("cut", "fifo"):
        (tmp_path / name).mkdir()
    (tmp_path / "cut" / "results.json").write_text("[]")
    os.mkfifo(tmp_path / "fifo" / "results.json")
    assert find_runs([tmp_path])[1] == [
        f"{tmp_path}/cut/results.json: must hold an object, not a list",
        f"{tmp_path}/fifo/results.json: must be a regular file",
    ]
    assert RunState.read(tmp_path / "cut").problem == "must hold an object, not a list"
    assert RunState.read(tmp_path / "fifo").problem == "must be a regular file"


def test_directory_without_runs_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        find_runs([tmp_path / "nothing"])
    assert str(error.value) == (f"{tmp_path}/nothing: must be a run's directory or contain some; no results.json found")


def test_damaged_curves_are_named(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", None, curves={"epoch": [1, 2], "val/acc": [0.5, 0.75]})
    for name, content in {
        "b": b"epoch,val/acc\n1,0.5\n2,ab\n",
        "c": b"epoch,val/acc\n1,0.5\nx,0.75\n",
        "d": b"epoch,val/acc\n1,0.5\n\0\0\0\0\n",
        "e": b"epoch,val/acc\n\xff\xfe\n",
        "f": None,
    }.items():
        path = make_run(name, None) / "metrics.csv"
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
    lines = describe_damaged_curves(find_runs([tmp_path / "runs"])[0])
    assert [Path(line.partition(": ")[0]).parent.name for line in lines] == ["b", "c", "d", "e", "f"]
    assert lines[0].endswith("metrics.csv: could not convert string to float: 'ab'; no curve of val/acc")
    assert {line.rpartition("; ")[2] for line in lines[1:]} == {"no curve of val/acc, test/acc, train/loss"}


def test_only_finite_numbers_are_numbers() -> None:
    values = (1, 0.5, True, "1", None, float("nan"), float("inf"))
    assert [finite_number(value) for value in values] == [1, 0.5, *[None] * 5]


def test_curves_are_the_columns_of_metrics_csv(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("with", None, curves={"epoch": [1, 2], "test/acc": [0.5, 0.75]})
    make_run("without", None)
    (run_with_curve, run_without_curve), _ = find_runs([tmp_path / "runs"])
    assert run_with_curve.curve("test/acc") == {1: 0.5, 2: 0.75}
    assert run_with_curve.curve("val/acc") == {}
    assert run_without_curve.curve("test/acc") == {}


def test_epochs_in_which_a_metric_was_not_finite_are_no_damage(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("run", None, curves={"epoch": [1, 2, 3], "val/acc": [float("nan"), 0.5, float("inf")]})
    runs, _ = find_runs([tmp_path / "runs"])
    assert runs[0].curve("val/acc") == {2: 0.5}
    assert describe_damaged_curves(runs) == []


def test_unreadable_directories_and_links_that_loop_are_survived(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("run", None)
    (run / "loop").symlink_to(tmp_path / "runs")
    (tmp_path / "runs" / "self").symlink_to("self")
    closed = tmp_path / "runs" / "closed"
    closed.mkdir()
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path) == str(closed):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    runs, damaged = find_runs([tmp_path / "runs"])
    assert [record.directory for record in runs] == [run]
    assert damaged == [f"{closed}: Permission denied"]


def test_metrics_file_that_is_no_file_or_too_long_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    os.mkfifo(make_run("fifo", None) / "metrics.csv")
    huge = make_run("huge", None) / "metrics.csv"
    huge.touch()
    os.truncate(huge, 200_000_000)
    (make_run("wide", None) / "metrics.csv").write_text("epoch,val/acc\n1," + "5" * 200_000)
    problems = {"fifo": "must be a regular file", "huge": "longer than 100,000,000 bytes", "wide": "field larger than"}
    lines = describe_damaged_curves(find_runs([tmp_path / "runs"])[0])
    for line, (name, problem) in zip(lines, problems.items(), strict=True):
        assert f"/{name}/metrics.csv: {problem}" in line
