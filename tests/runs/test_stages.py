"""Tests of the table of a network's stages."""

from typing import Any

from cnn_experiments.runs.stages import stage_rows


def test_stages_have_shares_of_the_cost() -> None:
    stages: list[dict[str, Any]] = [
        {"name": "features.0", "layers": "Conv2d", "shape": [6, 14, 14], "parameters": 25, "multiply_adds": 300},
        {"name": "head.0", "layers": "Flatten", "shape": [96], "parameters": 0, "multiply_adds": 0},
        {"name": ["x"], "shape": "96", "parameters": "many"},
    ]
    assert stage_rows(stages, parameters=100, multiply_adds=400) == [
        ["features.0", "Conv2d", "6x14x14", "25", "25.0%", "300", "75.0%"],
        ["head.0", "Flatten", "96", "0", "-", "0", "-"],
        ["['x']", "", "", "", "", "", ""],
    ]


def test_stages_have_no_shares_of_a_cost_that_is_not_known() -> None:
    stage = {"name": "head", "layers": "Linear", "shape": [10], "parameters": 25, "multiply_adds": 300}
    rows = stage_rows([stage], parameters=None, multiply_adds=None)
    assert rows == [["head", "Linear", "10", "25", "", "300", ""]]
