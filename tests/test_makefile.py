"""Tests of the default arguments of `make run`."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.conftest import ROOT, read_results


def test_make_run_reaches_90_percent_on_the_digits(train: Callable[..., Path]) -> None:
    (arguments,) = re.findall(r"^ARGS \?= (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert read_results(train("run", *arguments.split()))["metrics"]["test/acc"] > 0.9
