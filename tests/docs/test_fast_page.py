"""Tests that the page about fast recipes shows its kept runs, and that these are runs of the recipe as it is."""

import re
import statistics
from typing import Any

from cnn_experiments.config.composed import ComposedConfig
from cnn_experiments.config.sources import CONF
from cnn_experiments.runs.fingerprint import config_hash
from tests.conftest import read_results
from tests.docs.pages import DOCS

PAGE = DOCS / "how_to" / "fast.md"
RUNS = DOCS / "fast_runs"
ROW = re.compile(r"^\| (?P<seed>\d) \| (?P<seconds>[\d.]+) \| (?P<val>\.\d+) \| (?P<test>\.\d+) \|$", re.MULTILINE)


def kept_runs() -> list[dict[str, Any]]:
    """Return the results of the kept runs, in the order of their seeds."""
    runs = [read_results(path.parent) for path in RUNS.glob("cpu90/*/results.json")]
    return sorted(runs, key=lambda results: results["seed"])


def test_kept_runs_are_completed_runs_of_ten_seeds_of_the_recipe() -> None:
    recipe = ComposedConfig.from_overrides("experiment=fast/cpu90")
    runs = kept_runs()
    assert [results["seed"] for results in runs] == list(range(10))
    assert {results["configuration"] for results in runs} == {config_hash(recipe.settings)}
    assert {(results["status"], results["protocol"], results["tested_epoch"]) for results in runs} == {
        ("completed", "holdout", 2)
    }


def test_table_shows_the_seconds_and_accuracies_of_the_kept_runs() -> None:
    rows = [match.groupdict() for match in ROW.finditer(PAGE.read_text())]
    assert rows == [
        {
            "seed": str(results["seed"]),
            "seconds": f"{results['seconds']['fit']:.1f}",
            "val": f"{results['metrics']['val/acc']:.4f}".lstrip("0"),
            "test": f"{results['metrics']['test/acc']:.4f}".lstrip("0"),
        }
        for results in kept_runs()
    ]


def test_header_of_the_recipe_has_what_the_kept_runs_reached() -> None:
    runs = kept_runs()
    accuracies = [results["metrics"]["test/acc"] for results in runs]
    seconds = statistics.median(results["seconds"]["fit"] for results in runs)
    num_passed = sum(accuracy >= 0.9 for accuracy in accuracies)
    assert num_passed >= 9
    text = (CONF / "experiment" / "fast" / "cpu90.yaml").read_text()
    reached = f"{statistics.mean(accuracies):.3f}".lstrip("0")
    assert (
        f"# Reached: test accuracy {reached} on average, .90 in {num_passed} of {len(runs)} seeds, in {seconds:.1f} s"
        in text
    )
