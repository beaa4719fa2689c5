"""Tests of errors and of their messages."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from cnn_experiments.errors import ConfigError, describe_error, format_value, suggest


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("lr", 0, problem="must be > 0"), "lr=0: must be > 0"),
        (ConfigError("lr", None, problem="must be > 0"), "lr=null: must be > 0"),
        (ConfigError("~lr", problem="can't be deleted"), "~lr: can't be deleted"),
        (ConfigError("lr", "", problem="must be > 0"), "lr=: must be > 0"),
        (ConfigError("a", 1, problem="no", suggestion="b"), "a=1: no; did you mean b?"),
        (ConfigError("a", 1, problem="no", context=("in x", "set by y")), "a=1: no (in x) (set by y)"),
        (ConfigError("a", 1, problem="no", remedy="do this"), "a=1: no; do this"),
        (
            ConfigError("a", True, problem="no", suggestion="b", context=["in x"], remedy="do this"),
            "a=true: no; did you mean b? (in x); do this",
        ),
    ],
)
def test_line_of_a_config_error(error: ConfigError, line: str) -> None:
    assert str(error) == line
    assert error.args == (line,)


def test_parts_of_a_config_error_are_data() -> None:
    error = ConfigError("a", 1, problem="no", suggestion="b", context=["in x"], remedy="do this")
    parts = (error.key, error.value, error.problem, error.suggestion, error.context, error.remedy)
    assert parts == ("a", 1, "no", "b", ("in x",), "do this")
    assert str(ConfigError("a", problem="no")) == "a: no"
    assert str(ConfigError("a", None, problem="no")) == "a=null: no"


def test_context_is_added_to_the_existing_context() -> None:
    error = ConfigError("a", 1, problem="no", suggestion="b", context=["in x"], remedy="do this")
    assert str(error.with_context("in y")) == "a=1: no; did you mean b? (in x) (in y); do this"
    assert str(error.with_context(remedy="do that")) == "a=1: no; did you mean b? (in x); do that"
    assert str(ConfigError("a", problem="no").with_context("in y", "in z")) == "a: no (in y) (in z)"
    assert str(error) == "a=1: no; did you mean b? (in x); do this"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (0.1, "0.1"),
        (1e-9, "1e-09"),
        ("text", "text"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_value_is_formatted_as_it_is_typed(value: Any, text: str) -> None:
    assert format_value(value) == text


@pytest.mark.parametrize(
    ("word", "words", "nearest"),
    [
        ("sdg", ["adam", "sgd"], "sgd"),
        ("lenett", ["lenet", "lenet_bn"], "lenet"),
        ("xyz", ["adam", "sgd"], None),
        ("sgd", [], None),
    ],
)
def test_nearest_word_is_suggested(word: str, words: list[str], nearest: str | None) -> None:
    assert suggest(word, words) == nearest
    assert suggest(word, iter(words)) == nearest


def test_cutoff_is_the_least_similarity_of_a_suggestion() -> None:
    assert suggest("ab", ["bc"]) == "bc"
    assert suggest("ab", ["bc"], cutoff=0.6) is None


def catch_error(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def raise_in_this_file() -> None:
    raise ValueError("first line\n  second   line")


def test_error_is_described_in_one_line_with_the_line_of_the_users_code() -> None:
    line = raise_in_this_file.__code__.co_firstlineno + 1
    expected = f"ValueError: first line second line (test_errors.py:{line})"
    assert describe_error(catch_error(raise_in_this_file)) == expected


def test_line_is_that_of_the_users_code_and_not_that_of_a_library() -> None:
    def parse() -> object:
        return json.loads("{")

    description = describe_error(catch_error(parse))
    assert description.startswith("JSONDecodeError: ")
    assert description.endswith(f" (test_errors.py:{parse.__code__.co_firstlineno + 1})")


def test_error_that_was_never_raised_has_no_line() -> None:
    assert describe_error(KeyError("a")) == "KeyError: 'a'"


def test_every_error_has_a_short_line_of_valid_unicode() -> None:
    class UnprintableError(ValueError):
        def __str__(self) -> str:
            raise ZeroDivisionError

    assert describe_error(UnprintableError()) == "UnprintableError (its message can't be shown)"
    assert describe_error(ValueError("a\udcff")) == r"ValueError: a\udcff"
    assert describe_error(ValueError("x" * 10_000)) == f"ValueError: {'x' * 1988}..."


def test_error_of_the_operating_system_is_described_by_its_message_and_file() -> None:
    assert (
        describe_error(OSError(28, "No space left on device", "run/run.log")) == "No space left on device: run/run.log"
    )
    assert describe_error(OSError(5, "Input/output error")) == "Input/output error"
    assert describe_error(OSError("MD5 is wrong")) == "OSError: MD5 is wrong"
