"""Texts of the user, such as names of files, in CSV files that a spreadsheet may open."""

from cnn_experiments.console import printable

_FORMULA_MARKS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What the formulas of a spreadsheet begin with, also in full width. A tab or a line break is escaped anyway."""


def csv_text(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula; a number stays a number."""
    text = printable(text)
    return f"'{text}" if text.startswith(_FORMULA_MARKS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
