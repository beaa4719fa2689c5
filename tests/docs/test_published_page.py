"""Tests that the recipes of the page about published results are what the page says."""

from pathlib import Path

import yaml

from cnn_experiments.runs.fingerprint import flatten
from tests.commands import run
from tests.conftest import read_results
from tests.docs.pages import DOCS, blocks_of
from tests.docs.test_commands import short_run

PAGE = DOCS / "how_to" / "published.md"


def settings_of(directory: Path, *arguments: str) -> dict[str, object]:
    completed = run(directory, *arguments, "--cfg", "job")
    assert completed.returncode == 0, completed.stderr
    return flatten(yaml.safe_load(completed.stdout))


def test_recipe_of_the_user_differs_from_its_base_in_the_learning_rate_alone(tmp_path: Path) -> None:
    (block,) = [block for block in blocks_of(PAGE) if block.kind == "yaml"]
    path = tmp_path / str(block.caption)
    path.parent.mkdir(parents=True)
    path.write_text(block.text)
    base = settings_of(tmp_path, "experiment=book/sgd/lenet")
    mine = settings_of(tmp_path, "--config-dir", "myconf", "experiment=mine")
    assert {key: (base[key], mine[key]) for key in base | mine if base[key] != mine[key]} == {
        "optimizer.lr": (0.9, 0.5)
    }


def test_first_recipes_follow_their_protocols_and_shortened_runs_are_not_compared(tmp_path: Path) -> None:
    commands = blocks_of(PAGE)[0].commands
    for command in commands:
        (recipe,) = command.text.split()[3:]
        assert run(tmp_path, recipe, *short_run([recipe])).returncode == 0
    runs = [read_results(path.parent) for path in (tmp_path / "outputs").rglob("results.json")]
    assert sorted((results["options"]["experiment"], results["protocol"], results["status"]) for results in runs) == [
        ("best/lenet_bn", "holdout", "completed"),
        ("book/sgd/lenet_bn", "book", "completed"),
    ]
    lines = run(tmp_path, "--published", "outputs", module="cnn_experiments.report").stdout.splitlines()
    assert sorted(line.partition("excluded: ")[2].split()[1:4] for line in lines[:2]) == [
        ["best/lenet_bn", "with", "data=digits"],
        ["book/sgd/lenet_bn", "with", "data=digits"],
    ]
    assert lines[2:] == ["recipes with reported results but without runs: 41"]
