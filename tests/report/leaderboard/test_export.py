"""Tests of leaderboards in a terminal, in Markdown and as CSV."""

import csv
import io

import pytest
from rich.console import Console

from cnn_experiments.report.leaderboard.columns import Column, build_columns, footnotes, headline, sort_groups
from cnn_experiments.report.leaderboard.export import as_csv, as_markdown, terminal_table
from cnn_experiments.report.leaderboard.groups import Leaderboard
from tests.report.leaderboard.conftest import ReadLeaderboard
from tests.stored_runs import MakeRun


@pytest.fixture
def leaderboard(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> Leaderboard:
    """Return a leaderboard of a, b and c with 3, 2 and 1 completed runs; b also has a failed run, d has no result."""
    for seed, val in enumerate((0.80, 0.82, 0.87)):
        make_holdout_run(f"a{seed}", "a", seed, val, val - 0.02)
    for seed, val in enumerate((0.90, 0.91)):
        make_holdout_run(f"b{seed}", "b", seed, val, (0.79, 0.83)[seed], parameters=1_000_000)
    make_holdout_run("b2", "b", 2, None, None, status="failed", error="diverged", parameters=None)
    make_holdout_run("c0", "c", 0, 0.5, 0.4)
    make_holdout_run("d0", "d", 0, None, None, status="failed", error="RuntimeError: no")
    return read_leaderboard()


def columns_by_name(leaderboard: Leaderboard) -> dict[str, Column]:
    return {column.name: column for column in build_columns(leaderboard)}


def sorted_labels(leaderboard: Leaderboard, column: str) -> list[str]:
    return [group.label for group in sort_groups(leaderboard.boards[0], columns_by_name(leaderboard)[column])]


def print_board(leaderboard: Leaderboard) -> str:
    columns = build_columns(leaderboard)
    console = Console(width=400, file=io.StringIO())
    console.print(terminal_table(leaderboard.boards[0], columns, columns[0]))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_terminal_table_has_all_values(leaderboard: Leaderboard) -> None:
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in print_board(leaderboard).splitlines()]
    assert [row[:9] for row in rows if row] == [
        ["1 best", "b", "0.9050 ± 0.0071", "0.8100 ± 0.0283", "", "2", "1,000,000", "416,520", "1,000"],
        ["", "", "[0.8415, 0.9685]", "[0.5559, 1.0641]", "", "1 failed", "", "", ""],
        ["2", "a", "0.8300 ± 0.0361", "0.8100 ± 0.0361", "-0.0200 inconclusive", "3", "61,706", "416,520", "1,001"],
        ["", "", "[0.7404, 0.9196]", "[0.7204, 0.8996]", "[-0.1471, 0.1071]", "", "", "", ""],
        ["3", "c", "0.5000", "0.4000", "-0.3900 1 seed", "1", "61,706", "416,520", "1,000"],
    ]


def test_groups_are_sorted_with_the_best_first(leaderboard: Leaderboard) -> None:
    order = {name: sorted_labels(leaderboard, name) for name in columns_by_name(leaderboard)}
    assert order["rank"] == order["val/acc"] == ["b", "a", "c"]
    assert order["parameters"] == ["a", "c", "b"]
    assert order["model"] == ["a", "b", "c"]
    assert order["runs"] == ["a", "b", "c"]


def test_groups_without_a_value_are_sorted_last(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_holdout_run("a", "a", 0, 0.9, None, parameters=None)
    make_holdout_run("b", "b", 0, 0.8, 0.7, parameters=20)
    make_holdout_run("c", "c", 0, 0.7, 0.8, parameters=10)
    leaderboard = read_leaderboard()
    assert sorted_labels(leaderboard, "test/acc") == ["c", "b", "a"]
    assert sorted_labels(leaderboard, "parameters") == ["c", "b", "a"]


def test_headline_names_the_difference_between_the_first_two(leaderboard: Leaderboard) -> None:
    assert headline(leaderboard.boards[0]) == (
        "best by val/acc: b (2 completed, 1 failed), ahead of a; on the test set the difference is inconclusive: "
        "+0.0200 [-0.1071, 0.1471] over 2 shared seeds, the interval contains 0"
    )


@pytest.mark.parametrize(
    ("tests", "end"),
    [
        # differences 0.2 and 0.195: mean 0.1975, half width 12.706205 * 0.0035355 / 2**0.5 = 0.0317655
        ([0.7, 0.705], "ahead of b; on the test set it is better by +0.1975 [0.1657, 0.2293] over 2 shared seeds"),
        ([0.92, 0.921], "ahead of b; on the test set it is worse by -0.0205 [-0.0269, -0.0141] over 2 shared seeds"),
        ([0.7], "the difference is inconclusive: +0.2000 over 1 shared seed, one seed is too few"),
        ([0.7, 0.7], "inconclusive: +0.2000 [0.2000, 0.2000] over 2 shared seeds, all differences are equal"),
        ([], "nothing to compare with a"),
    ],
)
def test_headline_claims_no_more_than_the_seeds_show(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard, tests: list[float], end: str
) -> None:
    for seed in (0, 1):
        make_holdout_run(f"a{seed}", "a", seed, 0.95, 0.9)
    for seed, test in enumerate(tests):
        make_holdout_run(f"b{seed}", "b", seed, 0.90, test)
    assert headline(read_leaderboard().boards[0]).endswith(end)


def test_footnotes_name_groups_without_result_and_damaged_files(leaderboard: Leaderboard) -> None:
    assert footnotes(leaderboard, ["damaged, skipped: x/results.json: cut"]) == [
        "device: cpu (AMD EPYC)",
        "without a result: d: 1 failed (RuntimeError: no)",
        "damaged, skipped: x/results.json: cut",
    ]


def test_numeric_settings_and_times_are_sorted_as_numbers(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    for i, size in enumerate((32, 256, 64, 128)):
        make_holdout_run(
            str(size),
            "a",
            0,
            0.8,
            0.8,
            configuration=str(size),
            settings={"data.batch_size": size},
            overrides=[f"data.batch_size={size}"],
            seconds={"fit": 10.0 - i, "test": 1.0},
        )
    leaderboard = read_leaderboard()
    assert sorted_labels(leaderboard, "batch_size") == [f"batch_size={size}" for size in (32, 64, 128, 256)]
    assert sorted_labels(leaderboard, "seconds") == [f"batch_size={size}" for size in (128, 64, 256, 32)]


def test_costs_are_sorted_within_each_device(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    def make(name: str, fit: float, speed: float, device: str) -> None:
        costs = {"seconds": {"fit": fit, "test": 1.0}, "images_per_second": {"train": speed}}
        make_holdout_run(name, name, 0, 0.8, 0.8, device=device, **costs)

    make("slow", 50.0, 20.0, "cpu (AMD EPYC)")
    make("slower", 90.0, 10.0, "cpu (AMD EPYC)")
    for name, fit, speed in (("gpu", 0.3, 200.0), ("faster", 0.29, 300.0), ("slowest", 0.32, 100.0)):
        make(name, fit, speed, "cuda (NVIDIA H200)")
    leaderboard = read_leaderboard()
    assert sorted_labels(leaderboard, "seconds") == ["slow", "slower", "faster", "gpu", "slowest"]
    assert sorted_labels(leaderboard, "images/s") == ["slow", "slower", "faster", "gpu", "slowest"]


def test_markup_in_labels_is_not_interpreted(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_holdout_run("a0", "[/red]a", 0, 0.8, 0.8)
    make_holdout_run("b0", "<b>|", 0, 0.7, 0.7)
    leaderboard = read_leaderboard()
    assert "[/red]a" in print_board(leaderboard)
    assert "&lt;b&gt;\\|" in as_markdown(leaderboard, [], "runs")


def test_footnote_says_that_software_versions_differ(
    make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard
) -> None:
    make_holdout_run("a0", "a", 0, 0.8, 0.8, git_commit="1" * 40)
    make_holdout_run("b0", "b", 0, 0.7, 0.7, git_commit="1" * 40 + "-dirty")
    assert "runs differ in commit (1111111, 1111111-dirty)" in footnotes(read_leaderboard(), [])
    make_holdout_run("c0", "c", 0, 0.7, 0.7, versions={"torch": "2.11.0"})
    assert "runs differ in commit (0123456, 1111111, 1111111-dirty) and in torch version (2.11.0, 2.15.0)" in footnotes(
        read_leaderboard(), []
    )


def test_footnote_says_how_far_a_running_run_is(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_holdout_run("a0", "a", 0, 0.8, None, status="running", epochs=3)
    assert footnotes(read_leaderboard(), []) == ["without a result: a: 1 running (epoch 3, val/acc 0.8000)"]


def test_footnote_names_superseded_runs(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    directories = [make_holdout_run(f"a{day}", "a", 0, 0.8, 0.8, started=f"2026-11-2{day}") for day in range(5)]
    first_three = ", ".join(map(str, directories[:3]))
    assert f"superseded by a newer run with the same seed: {first_three} and 1 more" in footnotes(
        read_leaderboard(), []
    )


def test_costs_are_marked_by_device(make_holdout_run: MakeRun, read_leaderboard: ReadLeaderboard) -> None:
    make_holdout_run("a0", "a", 0, 0.8, 0.8)
    make_holdout_run("a1", "a", 1, 0.8, 0.8, device="cuda (NVIDIA H200)", seconds={"fit": 2.0, "test": 0.5})
    leaderboard = read_leaderboard()
    (board,) = leaderboard.boards
    assert columns_by_name(leaderboard)["seconds"].cell(board, board.best).text == "81.0 a, 2.5 b"
    assert footnotes(leaderboard, []) == [
        "a: cpu (AMD EPYC)",
        "b: cuda (NVIDIA H200)",
        "speed and memory are not comparable across devices",
    ]
    (row,) = csv.DictReader(io.StringIO(as_csv(leaderboard)))
    assert (row["device"], row["seconds"]) == ("cpu (AMD EPYC); cuda (NVIDIA H200)", "81; 2.5")


def test_csv_has_a_row_for_every_group(leaderboard: Leaderboard) -> None:
    b, a, c, d = csv.DictReader(io.StringIO(as_csv(leaderboard)))
    assert [row["model"] for row in (b, a, c, d)] == ["b", "a", "c", "d"]
    assert (b["rank"], b["completed"], b["failed"], b["seeds"]) == ("1", "2", "1", "0 1")
    assert (a["val/acc n"], a["val/acc mean"], a["val/acc sd"]) == ("3", "0.83", "0.03605551")
    assert (a["val/acc 95% low"], a["val/acc 95% high"]) == ("0.7404331", "0.9195669")
    assert (a["difference in test/acc n"], a["difference in test/acc mean"]) == ("2", "-0.02")
    assert (c["val/acc mean"], c["val/acc sd"], c["parameters"], c["seconds"]) == ("0.5", "", "61706", "81")
    assert (d["rank"], d["failed"], d["test/acc n"]) == ("", "1", "0")


def test_csv_columns_are_stable(leaderboard: Leaderboard) -> None:
    header = as_csv(leaderboard).splitlines()[0]
    assert header == (
        "board,ranked by,rank,model,completed,failed,pruned,interrupted,running,seeds,"
        "val/acc n,val/acc mean,val/acc sd,val/acc 95% low,val/acc 95% high,"
        "test/acc n,test/acc mean,test/acc sd,test/acc 95% low,test/acc 95% high,"
        "difference in test/acc n,difference in test/acc mean,difference in test/acc sd,"
        "difference in test/acc 95% low,difference in test/acc 95% high,"
        "parameters,multiply_adds,device,images_per_second,seconds,peak_memory_bytes,"
        "images_seed,images_compared,images_only_this,images_only_best,mcnemar_p"
    )


def test_markdown_has_pairwise_differences(leaderboard: Leaderboard) -> None:
    text = as_markdown(leaderboard, [], "runs")
    assert "| 2 | a | 0.8300 ± 0.0361<br>[0.7404, 0.9196] |" in text
    assert (
        "### Pairwise differences\n\nTest accuracy of the row minus that of the column, over the seeds that both have.\n"
        in text
    )
    assert "| c | -0.3900 1 seed | -0.3800 1 seed |  |" in text
    assert "| b |  | +0.0200 inconclusive<br>[-0.1071, 0.1471] | +0.3900 1 seed |" in text
    assert text.endswith("- without a result: d: 1 failed (RuntimeError: no)\n")
