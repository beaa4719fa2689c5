"""The first thing that a new user sees."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.conftest import ROOT, results_of


def test_make_run_learns_the_digits(train: Callable[..., Path]) -> None:
    (arguments,) = re.findall(r"^ARGS \?= (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert results_of(train("run", *arguments.split()))["metrics"]["test/acc"] > 0.9
