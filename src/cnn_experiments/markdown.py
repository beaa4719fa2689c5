"""Markdown in which names, settings and messages are text, whatever characters they have."""

import re
from collections.abc import Sequence
from html import escape

from cnn_experiments.console import printable

_MARKS = re.compile(
    r"[\\`*|~$]"
    r"|(?<!\w)_|_(?!\w)"  # an underscore inside a word is no mark
    r"|\[(?!-?[\d.]+, -?[\d.]+\])"  # an interval of two numbers is no link
    r"|^(?:[+-]|#+)(?= |$)|(?<=\d)[.)](?= )"  # headings and lists
)


def escape_markdown(text: str) -> str:
    """Return a text in one line, without HTML, formatting or links."""
    line = printable(" ".join(text.split()))
    return escape(_MARKS.sub(r"\\\g<0>", line), quote=False)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], is_text: Sequence[bool]) -> str:
    """Return a table, with the columns that are not text aligned to the right.

    Args:
        header: the names of the columns, in Markdown.
        rows: the cells, in Markdown.
        is_text: whether each column is text.
    """
    rule = ["---" if text else "---:" for text in is_text]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def markdown_list(lines: Sequence[str]) -> str:
    """Return lines of Markdown as a list."""
    return "\n".join(f"- {line}" for line in lines)
