"""Tests of comparing two networks image by image."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from cnn_experiments.report.leaderboard import groups
from cnn_experiments.report.leaderboard.columns import build_columns, footnotes, legend
from cnn_experiments.report.leaderboard.export import as_csv, as_markdown
from cnn_experiments.report.leaderboard.html import render_page
from cnn_experiments.report.leaderboard.show import report_leaderboard
from tests.predictions.stored_predictions import make_predictions
from tests.report.leaderboard.conftest import ReadLeaderboard
from tests.report.leaderboard.test_html import Page
from tests.report.leaderboard.test_untrusted_runs import CONTROL_CHARACTER, NAMES
from tests.stored_runs import MakeRun

LABELS = [0] * 10
BEST_PREDICTED = [0] * 8 + [1] * 2
OTHER_PREDICTED = [1] * 5 + [0] * 3 + [1, 0]
"""Right about image 9 alone, while the best is right about images 0 to 4."""


def write(directory: Path, predicted: Sequence[int], labels: Sequence[int] = LABELS) -> None:
    make_predictions(labels, predicted, ("cat", "dog")).save(directory / "predictions.npz")


@pytest.fixture
def compared_runs(make_holdout_run: MakeRun) -> MakeRun:
    """Write two networks with two seeds each; those of seed 1 have predictions, and seed 0 of the best."""
    best, _ = (make_holdout_run(f"best{seed}", "best", seed, 0.9, 0.8) for seed in (1, 0))
    other, _ = (make_holdout_run(f"other{seed}", "other", seed, 0.8, 0.4) for seed in (1, 0))
    write(best, BEST_PREDICTED)
    write(best.parent / "best0", BEST_PREDICTED)
    write(other, OTHER_PREDICTED)
    return make_holdout_run


def test_row_is_compared_with_the_best_at_the_lowest_seed_that_both_have(
    compared_runs: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    leaderboard = read_leaderboard()
    (board,) = leaderboard.boards
    (comparison,) = board.image_comparisons.values()
    assert comparison.seed == 1
    assert comparison.counts.only_first.tolist() == [9]
    assert comparison.counts.only_second.tolist() == [0, 1, 2, 3, 4]
    assert comparison.counts.p_value == pytest.approx(2 * (1 + 6) / 2**6)
    assert [mistake.index for mistake in comparison.only_run] == [9]
    assert [mistake.index for mistake in comparison.only_best] == [4, 3, 2, 1, 0]  # the most confident mistake first
    column = next(column for column in build_columns(leaderboard) if column.name == "image by image")
    cells = [column.cell(board, group) for group in board.groups]
    assert [(cell.text, cell.detail, cell.sort_value) for cell in cells] == [
        ("", "", None),
        ("1 against 5", "p = 0.2188, seed 1", -4),
    ]
    assert legend(leaderboard)[-1].startswith("image by image: ")


def test_comparison_is_in_markdown_and_csv(compared_runs: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    leaderboard = read_leaderboard()
    assert "| 1 against 5<br>p = 0.2188, seed 1 |" in as_markdown(leaderboard, [], "title")
    best, other = csv.DictReader(io.StringIO(as_csv(leaderboard)))
    names = ["images_seed", "images_compared", "images_only_this", "images_only_best", "mcnemar_p"]
    assert [best[name] for name in names] == [""] * 5
    assert [other[name] for name in names] == ["1", "10", "1", "5", "0.21875"]


def test_page_shows_the_images_that_only_one_gets_right(
    compared_runs: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    html = render_page(read_leaderboard(), [], "title")
    assert "Images that only one gets right: other (rank 2) against best (the best), seed 1" in html
    assert "Only other (rank 2) is right about 1 of 10 images; best (the best) predicts:" in html
    assert "Only best (the best) is right about 5 of 10 images; other (rank 2) predicts:" in html
    assert len(Page(html).sources) == 6


def test_pictures_are_limited_to_20_a_side(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    write(make_holdout_run("best", "best", 0, 0.9, 0.8), [0] * 40, [0] * 40)
    write(make_holdout_run("other", "other", 0, 0.8, 0.1), [1] * 40, [0] * 40)
    html = render_page(read_leaderboard(), [], "title")
    assert "Only other (rank 2) is right about 0 of 40 images." in html
    assert "is right about 40 of 40 images; other (rank 2) predicts in the 20 most confident cases:" in html
    assert html.count("<img") == 20


def test_without_predictions_there_is_no_column(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(make_holdout_run("best", "best", 0, 0.9, 0.8), BEST_PREDICTED)
    make_holdout_run("other", "other", 0, 0.8, 0.4)
    monkeypatch.setattr(groups, "compare_images", None)  # no file is read
    leaderboard = read_leaderboard()
    assert "image by image" not in [column.name for column in build_columns(leaderboard)]
    assert not any(line.startswith("image by image") for line in legend(leaderboard))
    assert "<details>" not in render_page(leaderboard, [], "title")


def test_the_first_12_rows_are_compared(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    for rank in range(14):
        write(make_holdout_run(f"run{rank}", f"net{rank}", 0, 0.9 - rank / 100, 0.5), BEST_PREDICTED)
    (board,) = read_leaderboard().boards
    assert [board.rank(group) for group in board.image_comparisons] == list(range(2, 13))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PK", "damaged, or another program wrote it (File is not a zip file)"),
        (b"", "damaged, or another program wrote it (File is not a zip file)"),
        (None, "must be a regular file"),
    ],
    ids=["short", "empty", "directory"],
)
def test_damaged_predictions_are_a_footnote(
    compared_runs: MakeRun,
    read_leaderboard: ReadLeaderboard,
    tmp_path: Path,
    content: bytes | None,
    problem: str,
) -> None:
    path = tmp_path / "runs" / "other1" / "predictions.npz"
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    leaderboard = read_leaderboard()
    (line,) = (line for line in footnotes(leaderboard, []) if line.startswith("not compared"))
    assert line == f"not compared image by image: {path}: {problem}"
    assert report_leaderboard([tmp_path / "runs"], tmp_path, quiet=True)


@pytest.mark.parametrize(
    ("labels", "names", "problem"),
    [
        ([1] * 10, ("cat", "dog"), "the images differ from those of {best}"),
        (LABELS, ("cat", "cow"), "other classes or splits than {best}"),
    ],
    ids=["labels", "classes"],
)
def test_networks_tested_on_other_images_are_not_compared(
    compared_runs: MakeRun,
    read_leaderboard: ReadLeaderboard,
    tmp_path: Path,
    labels: list[int],
    names: tuple[str, str],
    problem: str,
) -> None:
    path = tmp_path / "runs" / "other1" / "predictions.npz"
    make_predictions(labels, OTHER_PREDICTED, names).save(path)
    (board,) = read_leaderboard().boards
    assert board.image_comparisons == {}
    assert board.image_problems == [f"{path}: {problem.format(best=tmp_path / 'runs' / 'best1')}"]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_names_of_classes_are_text(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard, name: str) -> None:
    for model, accuracy, predicted in (("best", 0.9, [0, 1]), ("other", 0.8, [1, 0])):
        directory = make_holdout_run(model, model, 0, accuracy, accuracy)
        make_predictions([0, 0], predicted, (name, name)).save(directory / "predictions.npz")
    html = render_page(read_leaderboard(), [], "title")
    assert html.count("<img") == 2
    assert html.count("<script") == 1
    assert not CONTROL_CHARACTER.search(html)
