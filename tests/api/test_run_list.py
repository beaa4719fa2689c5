"""Tests of several runs from Python, and of their leaderboard."""

from pathlib import Path

import pytest

import cnn_experiments
from cnn_experiments import ConfigError
from cnn_experiments.api.run_list import RunList, runs
from tests.stored_runs import MakeRun


@pytest.fixture
def four(make_holdout_run: MakeRun, tmp_path: Path) -> RunList:
    """Return three completed runs and one that failed, of two networks."""
    make_holdout_run("a", "lenet", 0, 0.70, 0.71)
    make_holdout_run("b", "lenet", 1, 0.72, 0.73)
    make_holdout_run("c", "<densenet>", 0, 0.81, 0.80)
    make_holdout_run("d", "<densenet>", 1, None, None, status="failed", error="out of memory")
    return runs(tmp_path)


def test_runs_are_a_sequence_ordered_by_path(four: RunList, tmp_path: Path) -> None:
    assert len(four) == 4
    assert [run.directory for run in four] == [tmp_path / "runs" / name for name in "abcd"]
    assert four[2].metrics == {"val/acc": 0.81, "test/acc": 0.80}
    assert [run.results.seed for run in four[1:3]] == [1, 0]
    assert four[-1].status == "failed"
    assert len(cnn_experiments.runs(tmp_path / "runs" / "a", tmp_path / "runs" / "b")) == 2


def test_table_shows_what_varies(four: RunList) -> None:
    html = four._repr_html_()
    assert html.startswith("<p><b>4 runs</b></p>")
    assert "&lt;densenet&gt;" in html
    assert "<densenet>" not in html
    header = html.partition("<tbody>")[0]
    names = [part.partition("</th>")[0].rpartition(">")[2] for part in header.split("<th ")[1:]]
    assert names == ["run", "model", "seed", "status", "val/acc", "test/acc", "epochs", "seconds"]
    assert "0.8100" in repr(four)


def test_frame_has_a_row_for_each_run(four: RunList) -> None:
    frame = four.to_frame()
    assert list(frame["status"]) == ["completed", "completed", "completed", "failed"]
    assert list(frame["model"]) == ["lenet", "lenet", "<densenet>", "<densenet>"]
    assert list(frame["test/acc"])[:3] == [0.71, 0.73, 0.80]
    assert frame["val/acc"].isna().tolist() == [False, False, False, True]
    assert list(frame["seconds"]) == [81.0] * 4


def test_frame_has_tags_and_notes(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", None, tags=["paper", "first"], note="a try")
    make_run("b", None)
    frame = runs(tmp_path).to_frame()
    assert list(frame["tags"]) == ["paper, first", ""]
    assert frame["note"][0] == "a try"
    assert frame["note"].isna().tolist() == [False, True]


def test_table_shows_the_last_part_of_the_name_of_a_class(make_run: MakeRun, tmp_path: Path) -> None:
    key = "model._args_.1._target_"
    for name, target in {"a": "torch.nn.ReLU", "b": "torch.nn.Tanh", "c": None}.items():
        make_run(name, None, settings={"seed": 0} | ({key: target} if target else {}))
    column = next(column for column in runs(tmp_path)._table().columns if column.name == "_target_")
    assert column.texts() == ["ReLU", "Tanh", ""]


def test_leaderboard_ranks_groups(four: RunList) -> None:
    leaderboard = four.leaderboard()
    frame = leaderboard.to_frame()
    assert list(frame["model"]) == ["<densenet>", "lenet"]
    assert list(frame["val/acc mean"]) == [0.81, 0.71]
    assert list(frame["failed"]) == [1, 0]
    html = leaderboard._repr_html_()
    assert html.index("&lt;densenet&gt;") < html.index(">lenet<")
    assert "0.7100 ± 0.0141<br><small>[0.5829, 0.8371]</small>" in html
    assert html.count("font-weight: bold") == html.partition("</table>")[0].count("<th ")
    text = str(leaderboard)
    assert "1 best" in text
    assert "Best by val/acc: <densenet> (1 completed, 1 failed), ahead of lenet" in text


def test_leaderboard_is_sorted_by_a_column(four: RunList) -> None:
    html = four.leaderboard(sort="runs")._repr_html_()
    assert "by runs</b>" in html
    assert html.index(">lenet<") < html.index("&lt;densenet&gt;")
    with pytest.raises(ConfigError, match=r"sort=test: must be one of rank, model, .*; did you mean test/acc\?"):
        four.leaderboard(sort="test")


def test_damaged_run_is_named(four: RunList, tmp_path: Path) -> None:
    (tmp_path / "runs" / "a" / "results.json").write_text("[]")
    found = runs(tmp_path)
    line = f"damaged, skipped: {tmp_path}/runs/a/results.json: must hold an object, not a list"
    assert len(found) == 3
    assert line in repr(found)
    assert line in str(found.leaderboard())


def test_paths_without_a_run_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no results\.json found"):
        runs(tmp_path)
    with pytest.raises(ConfigError, match="paths: must be given"):
        runs()
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"no run can be read; .*must hold an object"):
        runs(tmp_path)
