"""One run of a sweep."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cnn_experiments.config.command_line import command_of
from cnn_experiments.config.composed import Combination
from cnn_experiments.runs.directory import Standing


@dataclass(frozen=True)
class Run:
    """A run in its folder, whether it has begun or not."""

    combination: Combination
    folder: Path

    @property
    def standing(self) -> Standing:
        """As its folder tells now."""
        return Standing.of(self.folder)

    @cached_property
    def command(self) -> list[str]:
        """The words that do it alone, the program's first."""
        return command_of(self.combination, self.folder)
