"""A leaderboard as it is read."""

import csv
import io
from pathlib import Path

import pytest
from rich.console import Console

from cnn_experiments.report.leaderboard.columns import answer, columns, in_order, remarks
from cnn_experiments.report.leaderboard.export import as_csv, markdown, terminal
from cnn_experiments.report.leaderboard.groups import Leaderboard, leaderboard
from cnn_experiments.runs.records import find
from tests.stored_runs import MakeRun


@pytest.fixture
def made(make: MakeRun, tmp_path: Path) -> Leaderboard:
    """Three networks: three seeds, two, and one; the last seed of the second failed."""
    for seed, val in enumerate((0.80, 0.82, 0.87)):
        make(f"a{seed}", "a", seed, val, val - 0.02)
    for seed, val in enumerate((0.90, 0.91)):
        make(f"b{seed}", "b", seed, val, (0.79, 0.83)[seed], parameters=1_000_000)
    make("b2", "b", 2, None, None, status="failed", error="diverged", parameters=None)
    make("c0", "c", 0, 0.5, 0.4)
    make("d0", "d", 0, None, None, status="failed", error="RuntimeError: no")
    return leaderboard(find([tmp_path / "runs"])[0])


def test_every_figure_is_printed(made: Leaderboard) -> None:
    shown = columns(made)
    console = Console(width=400, file=io.StringIO())
    console.print(terminal(made.boards[0], shown, shown[0]))
    assert isinstance(console.file, io.StringIO)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.file.getvalue().splitlines()]
    assert [row[:9] for row in rows if row] == [
        ["1 best", "b", "0.9050 ± 0.0071", "0.8100 ± 0.0283", "", "2", "1,000,000", "416,520", "1,000"],
        ["", "", "[0.8415, 0.9685]", "[0.5559, 1.0641]", "", "1 failed", "", "", ""],
        ["2", "a", "0.8300 ± 0.0361", "0.8100 ± 0.0361", "-0.0200 open", "3", "61,706", "416,520", "1,001"],
        ["", "", "[0.7404, 0.9196]", "[0.7204, 0.8996]", "[-0.1471, 0.1071]", "", "", "", ""],
        ["3", "c", "0.5000", "0.4000", "-0.3900 1 seed", "1", "61,706", "416,520", "1,000"],
    ]


def test_columns_sort_with_the_best_first_and_the_unknown_last(made: Leaderboard) -> None:
    by_name = {column.name: column for column in columns(made)}
    order = {name: [group.label for group in in_order(made.boards[0], by_name[name])] for name in by_name}
    assert order["rank"] == order["val/acc"] == ["b", "a", "c"]
    assert order["parameters"] == ["a", "c", "b"]
    assert order["model"] == ["a", "b", "c"]
    assert order["runs"] == ["a", "b", "c"]


def test_the_answer_says_what_is_known(made: Leaderboard, make: MakeRun, tmp_path: Path) -> None:
    assert answer(made.boards[0]) == (
        "best by val/acc: b (2 completed, 1 failed), before a; on the test set they can't be told apart: "
        "+0.0200 [-0.1071, 0.1471] over 2 shared seeds, 0 lies in that interval"
    )


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        # differences 0.2 and 0.195: mean 0.1975, reach 12.706205 * 0.0035355 / 2**0.5 = 0.0317655
        ([0.7, 0.705], "before b; on the test set it is better by +0.1975 [0.1657, 0.2293] over 2 shared seeds"),
        ([0.92, 0.921], "before b; on the test set it is worse by -0.0205 [-0.0269, -0.0141] over 2 shared seeds"),
        ([0.7], "before b; on the test set they can't be told apart: +0.2000 over 1 shared seed, one is too few"),
        ([], "nothing to compare a with"),
    ],
)
def test_the_answer_is_as_sure_as_the_seeds(make: MakeRun, tmp_path: Path, tests: list[float], said: str) -> None:
    for seed in (0, 1):
        make(f"a{seed}", "a", seed, 0.95, 0.9)
    for seed, test in enumerate(tests):
        make(f"b{seed}", "b", seed, 0.90, test)
    assert answer(leaderboard(find([tmp_path / "runs"])[0]).boards[0]).endswith(said)


def test_what_has_no_result_is_told(made: Leaderboard) -> None:
    assert remarks(made, ["damaged, skipped: x/results.json: cut"]) == [
        "on cpu (AMD EPYC)",
        "without a result: d: 1 failed (RuntimeError: no)",
        "damaged, skipped: x/results.json: cut",
    ]


def test_numbers_sort_as_numbers(make: MakeRun, tmp_path: Path) -> None:
    for place, size in enumerate((32, 256, 64, 128)):
        make(
            str(size),
            "a",
            0,
            0.8,
            0.8,
            configuration=str(size),
            settings={"data.batch_size": size},
            overrides=[f"data.batch_size={size}"],
            seconds={"fit": 10.0 - place, "test": 1.0},
        )
    made = leaderboard(find([tmp_path / "runs"])[0])
    by_name = {column.name: column for column in columns(made)}
    order = {name: [group.label for group in in_order(made.boards[0], by_name[name])] for name in by_name}
    assert order["batch_size"] == [f"batch_size={size}" for size in (32, 64, 128, 256)]
    assert order["seconds"] == [f"batch_size={size}" for size in (128, 64, 256, 32)]


def test_figures_of_another_device_are_behind(make: MakeRun, tmp_path: Path) -> None:
    make("a", "slow", 0, 0.8, 0.8, seconds={"fit": 50.0, "test": 1.0})
    make("b", "slower", 0, 0.8, 0.8, seconds={"fit": 90.0, "test": 1.0})
    for name, fit in {"gpu": 0.3, "faster": 0.29, "slowest": 0.32}.items():
        make(name, name, 0, 0.8, 0.8, seconds={"fit": fit, "test": 1.0}, device="cuda (NVIDIA H200)")
    made = leaderboard(find([tmp_path / "runs"])[0])
    seconds = next(column for column in columns(made) if column.name == "seconds")
    order = [group.label for group in in_order(made.boards[0], seconds)]
    assert order == ["slow", "slower", "faster", "gpu", "slowest"]


def test_words_of_a_run_are_printed_as_they_are(make: MakeRun, tmp_path: Path) -> None:
    make("a0", "[/red]a", 0, 0.8, 0.8)
    make("b0", "<b>|", 0, 0.7, 0.7)
    made = leaderboard(find([tmp_path / "runs"])[0])
    console = Console(width=400, file=io.StringIO())
    shown = columns(made)
    console.print(terminal(made.boards[0], shown, shown[0]))
    assert isinstance(console.file, io.StringIO)
    assert "[/red]a" in console.file.getvalue()
    assert "&lt;b&gt;\\|" in markdown(made, [], "runs")


def test_runs_of_several_makes_are_told(make: MakeRun, tmp_path: Path) -> None:
    make("a0", "a", 0, 0.8, 0.8, git_commit="1" * 40)
    make("b0", "b", 0, 0.7, 0.7, git_commit="1" * 40 + "-dirty")
    made = leaderboard(find([tmp_path / "runs"])[0])
    assert "not all of one make: commits 1111111, 1111111-dirty" in remarks(made, [])


def test_a_run_that_goes_on_says_how_far_it_is(make: MakeRun, tmp_path: Path) -> None:
    make("a0", "a", 0, 0.8, None, status="running", epochs=3)
    made = leaderboard(find([tmp_path / "runs"])[0])
    assert remarks(made, []) == ["without a result: a: 1 running (epoch 3, val/acc 0.8000)"]


def test_devices_are_told_apart(make: MakeRun, tmp_path: Path) -> None:
    make("a0", "a", 0, 0.8, 0.8)
    make("a1", "a", 1, 0.8, 0.8, device="cuda (NVIDIA H200)", seconds={"fit": 2.0, "test": 0.5})
    made = leaderboard(find([tmp_path / "runs"])[0])
    seconds = next(column for column in columns(made) if column.name == "seconds")
    assert seconds.cell(made.boards[0], made.boards[0].best).text == "81.0 a, 2.5 b"
    assert remarks(made, []) == [
        "a: cpu (AMD EPYC)",
        "b: cuda (NVIDIA H200)",
        "speed and memory of different devices do not compare",
    ]
    (row,) = csv.DictReader(io.StringIO(as_csv(made)))
    assert (row["device"], row["seconds"]) == ("cpu (AMD EPYC); cuda (NVIDIA H200)", "81; 2.5")


def test_csv_has_every_group(made: Leaderboard) -> None:
    b, a, c, d = csv.DictReader(io.StringIO(as_csv(made)))
    assert [row["model"] for row in (b, a, c, d)] == ["b", "a", "c", "d"]
    assert (b["rank"], b["completed"], b["failed"], b["seeds"]) == ("1", "2", "1", "0 1")
    assert (a["val/acc n"], a["val/acc mean"], a["val/acc sd"]) == ("3", "0.83", "0.03605551")
    assert (a["val/acc 95% low"], a["val/acc 95% high"]) == ("0.7404331", "0.9195669")
    assert (a["difference in test/acc n"], a["difference in test/acc mean"]) == ("2", "-0.02")
    assert (c["val/acc mean"], c["val/acc sd"], c["parameters"], c["seconds"]) == ("0.5", "", "61706", "81")
    assert (d["rank"], d["failed"], d["test/acc n"]) == ("", "1", "0")


def test_markdown_compares_each_with_each(made: Leaderboard) -> None:
    text = markdown(made, [], "runs")
    assert "| 2 | a | 0.8300 ± 0.0361<br>[0.7404, 0.9196] |" in text
    assert "| c | -0.3900 1 seed | -0.3800 1 seed |  |" in text
    assert "| b |  | +0.0200 open<br>[-0.1071, 0.1471] | +0.3900 1 seed |" in text
    assert text.endswith("- without a result: d: 1 failed (RuntimeError: no)\n")
