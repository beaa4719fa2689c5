"""Tests of the rules for values."""

import math
from typing import Any

import pytest

from cnn_experiments.config import rules
from cnn_experiments.config.rules import Rule, check_all, integer, list_of, one_of
from cnn_experiments.errors import ConfigError

VALUES = (None, True, 0, 1, -1, 0.0, 0.5, 1.0, 1.5, math.inf, math.nan, "a", "", [], [1], [0.5], ["a"], [True])


def accepted_by(rule: Rule) -> list[Any]:
    return [value for value in VALUES if rule.accepts(value)]


@pytest.mark.parametrize(
    ("rule", "allowed", "accepted"),
    [
        (rules.NULL, "null", [None]),
        (rules.STRING, "a string", ["a", ""]),
        (rules.INTEGER, "an integer", [0, 1, -1]),
        (rules.NUMBER, "a number", [0, 1, -1, 0.0, 0.5, 1.0, 1.5]),
        (rules.BOOL, "true or false", [True]),
        (rules.LIST, "a list", [[], [1], [0.5], ["a"], [True]]),
        (rules.INTEGERS, "a list of integers", [[], [1]]),
        (rules.NUMBERS, "a list of numbers", [[], [1], [0.5]]),
        (list_of(rules.STRING, "strings"), "a list of strings", [[], ["a"]]),
        (rules.POSITIVE, "a number > 0", [1, 0.5, 1.0, 1.5]),
        (rules.NOT_NEGATIVE, "a number >= 0", [0, 1, 0.0, 0.5, 1.0, 1.5]),
        (rules.BELOW_ONE, "a number in [0, 1)", [0, 0.0, 0.5]),
        (rules.FRACTION, "a float in (0, 1]", [0.5, 1.0]),
        (integer(1), "an integer >= 1", [1]),
        (integer(-1, 0), "an integer from -1 to 0", [0, -1]),
        (one_of("a", "b"), "one of a, b", ["a"]),
        (integer(1) | rules.FRACTION | rules.NULL, "an integer >= 1 or a float in (0, 1] or null", [None, 1, 0.5, 1.0]),
    ],
)
def test_rule_accepts_the_values_that_its_text_allows(rule: Rule, allowed: str, accepted: list[Any]) -> None:
    assert rule.allowed == allowed
    # repr: true, 1 and 1.0 are equal
    assert repr(accepted_by(rule)) == repr(accepted)


@pytest.mark.parametrize(
    ("value", "is_accepted"),
    [
        ("a", True),
        ("my-sweep_2.b", True),
        ("a" * 80, True),
        ("a" * 81, False),
        ("", False),
        ("-a", False),
        (".a", False),
        ("a/b", False),
        ("a b", False),
        ("Ä", False),
        (3, False),
    ],
)
def test_names_are_safe_in_paths_and_on_the_command_line(value: Any, is_accepted: bool) -> None:
    assert rules.NAME.accepts(value) == is_accepted


def test_nearest_word_is_suggested() -> None:
    with pytest.raises(ConfigError) as error:
        one_of("continue", "stop").check("on_error", "stpo")
    assert str(error.value) == "on_error=stpo: must be one of continue, stop; did you mean stop?"


def test_words_of_both_alternatives_are_suggested() -> None:
    rule = one_of("median", "none") | rules.NULL
    with pytest.raises(ConfigError) as error:
        rule.check("pruner", "meidan")
    assert str(error.value) == "pruner=meidan: must be one of median, none or null; did you mean median?"


def test_check_all_puts_the_group_before_the_key_and_skips_values_without_a_rule() -> None:
    check_all({"seed": integer(0)}, "hydra.sweeper", {"seed": 0, "other": "anything"})
    with pytest.raises(ConfigError) as error:
        check_all({"seed": integer(0)}, "hydra.sweeper", {"other": "anything", "seed": -1})
    assert str(error.value) == "hydra.sweeper.seed=-1: must be an integer >= 0"
