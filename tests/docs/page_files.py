"""The files that a reader of a page has: images of their own, or runs of an earlier page."""

from collections.abc import Callable
from pathlib import Path

PAGE_FILES: dict[str, Callable[[Path], None]] = {}
"""By page: a function that makes its files in the directory where its commands are run."""
