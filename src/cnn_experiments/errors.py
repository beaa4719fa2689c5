"""The ways in which a command ends without a result, other than a bug, and how errors are described."""

import sysconfig
import traceback
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

_FOREIGN_CODE = (str(Path(__file__).parent), sysconfig.get_path("stdlib"), "<")
_INSTALLED_CODE = {"site-packages", "dist-packages"}  # also those of another environment that this one includes
_NO_VALUE = object()
_MAX_MESSAGE = 2000
"""Characters of an error's message; a path may have many."""


class ConfigError(ValueError):
    """Bad input: one line that names the key, its value, what is allowed and the nearest match; exit status 2.

    Args:
        key: the setting, override, flag or path that is wrong.
        value: its value; left out if the key says it all.
        problem: what is wrong and what is allowed, such as `must be one of adam, sgd`.
        suggestion: what may have been meant.
        context: remarks that follow in parentheses, such as the combination of a sweep.
        remedy: what else can be done about it, such as `on_invalid=skip skips it`.
    """

    def __init__(
        self,
        key: str,
        value: object = _NO_VALUE,
        *,
        problem: str,
        suggestion: str | None = None,
        context: Sequence[str] = (),
        remedy: str | None = None,
    ) -> None:
        self.key = key
        self.value = value
        self.problem = problem
        self.suggestion = suggestion
        self.context = tuple(context)
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        setting = self.key if self.value is _NO_VALUE else f"{self.key}={format_value(self.value)}"
        suggestion = f"; did you mean {self.suggestion}?" if self.suggestion else ""
        context = "".join(f" ({remark})" for remark in self.context)
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{setting}: {self.problem}{suggestion}{context}{remedy}"

    def _render_traceback_(self) -> list[str]:
        return _notebook_lines(self)

    def with_key(self, key: str) -> "ConfigError":
        """Return the same error of another key, such as the argument of a function that a setting's value came from."""
        return ConfigError(
            key,
            self.value,
            problem=self.problem,
            suggestion=self.suggestion,
            context=self.context,
            remedy=self.remedy,
        )

    def with_context(self, *remarks: str, remedy: str | None = None) -> "ConfigError":
        """Return the same error with more remarks, and another remedy if one is given."""
        return ConfigError(
            self.key,
            self.value,
            problem=self.problem,
            suggestion=self.suggestion,
            context=(*self.context, *remarks),
            remedy=remedy or self.remedy,
        )


class RunFailedError(RuntimeError):
    """A run that cannot continue, for a reason that one line explains; exit status 1."""

    def _render_traceback_(self) -> list[str]:
        return _notebook_lines(self)


class IncompleteSweepError(Exception):
    """A sweep or a search that ended without all its results, which it has explained.

    Args:
        status: the exit status of the program.
    """

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"exit status {status}")


def _notebook_lines(error: Exception) -> list[str]:
    """Return what IPython shows of an error in place of its traceback: all is said in one line."""
    return [f"{type(error).__name__}: {error}"]


def format_value(value: object) -> str:
    """Return a value as it is typed on the command line: `null`, `true`, `0.1`."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def suggest(word: str, words: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Return the nearest of the words, or None if none is near."""
    return next(iter(get_close_matches(word, list(words), n=1, cutoff=cutoff)), None)


def error_message(error: BaseException) -> str:
    """Return the class of an error and its message in one line.

    An error of the operating system is its message and the file: `No space left on device: outputs/run.log`.
    """
    try:
        message = f"{type(error).__name__}: {error}"
    except Exception:  # the class is the user's own
        message = f"{type(error).__name__} (its message can't be shown)"
    if isinstance(error, OSError) and error.strerror:
        message = ": ".join(map(str, filter(None, (error.strerror, error.filename))))
    message = " ".join(message.split()).encode(errors="backslashreplace").decode()
    return message if len(message) <= _MAX_MESSAGE else f"{message[:_MAX_MESSAGE]}..."


def describe_error(error: BaseException) -> str:
    """Return the message of an error in one line, with the line of the user's own code that raised it."""
    line = line_of_user_code(error)
    return f"{error_message(error)} ({line})" if line else error_message(error)


def line_of_user_code(error: BaseException) -> str | None:
    """Return the file and the line of the user's own code that raised an error, or None if other code did."""
    own = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_FOREIGN_CODE) and _INSTALLED_CODE.isdisjoint(Path(frame.filename).parts)
    ]
    return own[-1] if own else None
