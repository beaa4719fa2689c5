"""A short version of the fuzz program, and tests of the command lines that it draws."""

from pathlib import Path

import pytest

from tests.attacks.fuzz import fuzz
from tests.attacks.grammar import draw


def test_command_line_depends_on_the_seed_and_its_number_alone() -> None:
    words = [draw(0, number).words for number in range(50)]
    assert [draw(0, number).words for number in reversed(range(50))] == words[::-1]
    assert [draw(1, number).words for number in range(50)] != words


def test_command_lines_have_parts_that_must_be_rejected_and_parts_that_must_not() -> None:
    lines = [draw(0, number) for number in range(1000)]
    num_senseless = sum(bool(line.senseless) for line in lines)
    assert 400 < num_senseless < 800
    assert sum(line.trains for line in lines) > 700


def test_no_promise_is_broken_by_command_lines_drawn_at_random(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    violations = fuzz(range(1, 13), seed=4, jobs=1, directory=tmp_path, timeout=3600)
    assert violations == [], capsys.readouterr().out
