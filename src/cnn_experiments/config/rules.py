"""Rules for values: the one vocabulary for settings, executors and sweepers."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cnn_experiments.errors import ConfigError, suggest

MISSING = "???"
"""OmegaConf's mark for a value that must be given."""


@dataclass(frozen=True)
class Rule:
    """The values that a setting may take, in words and as a test."""

    allowed: str
    """What follows `must be`."""
    accepts: Callable[[Any], bool]
    choices: tuple[str, ...] = ()
    """The words that are allowed, if the rule lists them."""
    most: float = math.inf
    """The largest number that makes sense."""

    def __or__(self, other: "Rule") -> "Rule":
        return Rule(
            f"{self.allowed} or {other.allowed}",
            lambda value: self.accepts(value) or other.accepts(value),
            self.choices + other.choices,
            min(self.most, other.most),
        )

    def at_most(self, most: float) -> "Rule":
        """Return the rule with an upper limit, which an error mentions only for a larger value."""
        return Rule(self.allowed, self.accepts, self.choices, most)

    def check(self, key: str, value: Any) -> None:
        """Check a value.

        Raises:
            ConfigError: the value is not allowed.
        """
        numbers = value if isinstance(value, list) else [value]
        if any(_is_number(number) and abs(number) > self.most for number in numbers):
            limit = "at most" if min(filter(_is_number, numbers)) >= 0 else "in absolute value at most"
            raise ConfigError(key, value, problem=f"must be {limit} {self.most:g}")
        if not self.accepts(value):
            suggestion = suggest(str(value), self.choices) if self.choices else None
            raise ConfigError(key, value, problem=f"must be {self.allowed}", suggestion=suggestion)


def check_all(rules: Mapping[str, Rule], prefix: str, values: Mapping[str, Any]) -> None:
    """Check the values that have a rule, with a prefix for their keys.

    Raises:
        ConfigError: a value is not allowed.
    """
    for key, value in values.items():
        if key in rules:
            rules[key].check(f"{prefix}.{key}", value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def integer(least: int, most: float = math.inf) -> Rule:
    """Return a rule for integers in a range, ends included."""
    allowed = f"an integer from {least} to {most}" if most < math.inf else f"an integer >= {least}"
    return Rule(allowed, lambda value: _is_integer(value) and least <= value <= most)


def one_of(*choices: str) -> Rule:
    """Return a rule for one of a few words."""
    return Rule(f"one of {', '.join(choices)}", lambda value: value in choices, choices)


def list_of(rule: Rule, plural: str) -> Rule:
    """Return a rule for lists whose items all satisfy a rule."""
    return Rule(
        f"a list of {plural}", lambda value: isinstance(value, list) and all(rule.accepts(item) for item in value)
    )


NULL = Rule("null", lambda value: value is None)
STRING = Rule("a string", lambda value: isinstance(value, str))
INTEGER = Rule("an integer", _is_integer)
NUMBER = Rule("a number", _is_number)
BOOL = Rule("true or false", lambda value: isinstance(value, bool))
LIST = Rule("a list", lambda value: isinstance(value, list))
INTEGERS = list_of(INTEGER, "integers")
NUMBERS = list_of(NUMBER, "numbers")
POSITIVE = Rule("a number > 0", lambda value: _is_number(value) and value > 0)
NOT_NEGATIVE = Rule("a number >= 0", lambda value: _is_number(value) and value >= 0)
BELOW_ONE = Rule("a number in [0, 1)", lambda value: _is_number(value) and 0 <= value < 1)
FRACTION = Rule("a float in (0, 1]", lambda value: isinstance(value, float) and 0 < value <= 1)
NAME = Rule(
    "at most 80 letters, digits, dots, dashes and underscores, not starting with a dot or dash",
    lambda value: isinstance(value, str) and bool(re.fullmatch(r"\w[\w.-]{0,79}", value, re.ASCII)),
)
