"""Tests of the ratios, tables and picture of a comparison with other programs."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmark_tables import (
    BEST_BARE_LOOP,
    CPU_FILE,
    OTHERS,
    QUANTITIES,
    Comparison,
    Spread,
    benchmark_parts,
    book_table,
    comparison_figure,
    comparison_tables,
    describe,
)
from picture_sources import hash_of_figure

from tests.docs.pages import DOCS

HEADER = {
    "command": "python benchmarks/against_others",
    "date": "2026-11-28",
    "device": "cpu (AMD EPYC)",
    "num_processors": 2,
    "num_threads": 2,
    "versions": {"torch": "2.15.0", "torchvision": "0.29.2", "lightning": "2.6.6"},
}
EPOCH, FIRST_STEP, MEMORY, GPU_MEMORY = QUANTITIES


def measurement(program: str, number: int, seconds_per_step: float, num_timed_steps: int = 10) -> dict[str, Any]:
    return {
        "case": "LeNet@28",
        "program": program,
        "round": number,
        "seconds_per_step": seconds_per_step,
        "num_timed_steps": num_timed_steps,
        "batches_per_epoch": 10,
        "batch_size": 256,
        "first_step_seconds": 4.0,
        "memory_bytes": 2**30,
    }


ROUNDS = [
    *(measurement("this program", number, seconds) for number, seconds in enumerate((1.0, 2.0, 1.0), start=1)),
    *(measurement("notebook loop", number, seconds) for number, seconds in enumerate((3.0, 4.0, 2.5), start=1)),
    *(measurement("bare loop, contiguous", number, seconds) for number, seconds in enumerate((1.0, 1.0), start=1)),
    *(measurement("bare loop, channels last", number, seconds) for number, seconds in enumerate((0.5, 1.0), start=1)),
]


def test_ratios_are_those_within_a_round() -> None:
    comparison = Comparison(HEADER, ROUNDS)
    assert comparison.spread("LeNet@28", "this program", EPOCH) == Spread(median=10, low=10, high=20)
    assert comparison.ratios("LeNet@28", "notebook loop", EPOCH) == Spread(median=2.5, low=2, high=3)
    assert comparison.ratios("LeNet@28", "notebook loop", MEMORY) == Spread(median=1, low=1, high=1)


def test_bare_loop_has_the_layout_that_is_faster() -> None:
    comparison = Comparison(HEADER, ROUNDS)
    assert comparison.best_bare_loop("LeNet@28") == "bare loop, channels last"
    assert comparison.ratios("LeNet@28", BEST_BARE_LOOP, EPOCH) == Spread(median=0.5, low=0.5, high=0.5)


def test_program_that_was_not_measured_has_no_ratio() -> None:
    failed = {"case": "LeNet@28", "program": "Lightning script", "round": 1, "error": "no time left"}
    comparison = Comparison(HEADER, [*ROUNDS, failed])
    assert comparison.ratios("LeNet@28", "Lightning script", EPOCH) is None
    assert comparison.ratios("LeNet@28", "notebook loop", GPU_MEMORY) is None


def test_tables() -> None:
    first, second, third = comparison_tables(Comparison(HEADER, ROUNDS)).split("\n\n")
    assert first.splitlines() == [
        "| seconds per epoch | this program | notebook loop, ratio | Lightning script, ratio | bare loop, best layout, ratio |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| LeNet@28 | 10.0 [10.0, 20.0] | 2.50 [2.00, 3.00] | not measured | 0.50 [0.50, 0.50] |",
    ]
    assert (
        second.splitlines()[2] == "| LeNet@28 | 4.0 [4.0, 4.0] | 1.00 [1.00, 1.00] | not measured | 1.00 [1.00, 1.00] |"
    )
    assert third.splitlines()[2].startswith("| LeNet@28 | 1.00 [1.00, 1.00] |")


def test_table_says_which_epochs_are_scaled() -> None:
    tables = comparison_tables(Comparison(HEADER, [measurement("this program", 1, 1.0, num_timed_steps=9)]))
    assert tables.split("\n\n")[0].splitlines()[2].startswith("| LeNet@28 * | 10.0 [10.0, 10.0] | not measured |")
    assert tables.split("\n\n")[1] == "\\* a few steps, scaled to an epoch"


def test_description_has_command_date_machine_and_versions() -> None:
    assert describe(Comparison(HEADER, ROUNDS)) == (
        "`python benchmarks/against_others`, 2026-11-28: 3 rounds on cpu (AMD EPYC) with 2 processors and 2 threads; "
        "torch 2.15.0, torchvision 0.29.2, lightning 2.6.6."
    )


def test_book_has_eight_networks_and_its_images_per_second() -> None:
    alexnet = {"recipe": "book/sgd/alexnet", "batch_size": 128, "seconds_per_step": 0.015437}
    rows = book_table(Comparison(HEADER, [alexnet])).splitlines()[2:]
    assert rows == [
        "| `experiment=book/sgd/lenet` | 83,602 | not measured | - |",
        "| `experiment=book/sgd/lenet_bn` | 60,811 | not measured | - |",
        "| `experiment=book/sgd/alexnet` | 4,146 | 8,292 | 2.00 |",
        "| `experiment=book/sgd/vgg11` | 2,552 | not measured | - |",
        "| `experiment=book/sgd/nin` | 3,198 | not measured | - |",
        "| `experiment=book/sgd/googlenet` | 3,467 | not measured | - |",
        "| `experiment=book/sgd/resnet18` | 4,686 | not measured | - |",
        "| `experiment=book/sgd/densenet` | 5,515 | not measured | - |",
    ]


@pytest.mark.parametrize("end", ["", "\n"])
def test_file_is_read(tmp_path: Path, end: str) -> None:
    file = tmp_path / "measured.jsonl"
    file.write_text("\n".join(map(json.dumps, [HEADER, *ROUNDS])) + end)
    comparison = Comparison.read(file)
    assert (comparison.cases, comparison.num_rounds) == (["LeNet@28"], 3)
    assert comparison.spread("LeNet@28", "this program", EPOCH) == Spread(median=10, low=10, high=20)


def test_picture_shows_the_ratios() -> None:
    expected = hash_of_figure(comparison_figure(Comparison(HEADER, ROUNDS)))
    assert hash_of_figure(comparison_figure(Comparison(HEADER, ROUNDS[::-1]))) == expected
    slower = [*ROUNDS, measurement("notebook loop", 3, 9.0)]
    assert hash_of_figure(comparison_figure(Comparison(HEADER, slower))) != expected


def test_page_says_that_nothing_was_measured_on_a_gpu(tmp_path: Path) -> None:
    lines = list(map(json.dumps, [HEADER, *ROUNDS]))
    (tmp_path / "cpu.jsonl").write_text("\n".join(lines))
    parts = benchmark_parts(tmp_path)
    assert parts["cpu"].startswith("`python benchmarks/against_others`, 2026-11-28: 3 rounds on cpu (AMD EPYC)")
    assert "experiment=" not in parts["cpu"]
    assert parts["gpu"].startswith("No GPU was at hand.\n\n| images/s in training |")
    (tmp_path / "gpu.jsonl").write_text(
        "\n".join([lines[0], json.dumps({"recipe": "book/sgd/nin", "batch_size": 128, "seconds_per_step": 0.04})])
    )
    assert "| `experiment=book/sgd/nin` | 3,198 | 3,200 | 1.00 |" in benchmark_parts(tmp_path)["gpu"]


@pytest.mark.parametrize(
    ("sentence", "others"),
    [
        ("script took {low:.1f} to {high:.1f} times as long on a CPU", OTHERS[:2]),
        ("over batches in memory {low:.1f} to {high:.1f} times", (BEST_BARE_LOOP,)),
    ],
)
def test_readme_has_the_lowest_and_the_highest_ratio_of_an_epoch(sentence: str, others: tuple[str, ...]) -> None:
    comparison = Comparison.read(DOCS / "benchmarks" / CPU_FILE)
    spreads = [comparison.ratios(case, other, EPOCH) for case in comparison.cases for other in others]
    ratios = [spread.median for spread in spreads if spread]
    text = " ".join((DOCS.parent / "README.md").read_text().split())
    assert sentence.format(low=min(ratios), high=max(ratios)) in text
