"""The pages of the documentation: their files, commands and code cells, as a reader finds them.

A block ```` ```console ```` has commands, which begin with `$ `, and their outputs. A block whose caption is a file's name is
that file. A block whose caption begins with `Not run by the tests: ` says why its commands are not run.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT

DOCS = ROOT / "docs"
NOT_PAGES = (DOCS / "_build", DOCS / "generated", DOCS / "runs")
PAGES = [
    *sorted(path for path in DOCS.rglob("*.md") if not any(map(path.is_relative_to, NOT_PAGES))),
    ROOT / "README.md",
]

NOT_RUN = "Not run by the tests: "

_BLOCK = re.compile(r"^(?P<fence>`{3,})(?P<kind>[^\n`]*)\n(?P<text>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)
_CAPTION = re.compile(r"\A:caption: (.*)\n+")
_CELL_OPTIONS = re.compile(r"\A(?::[\w-]+:[^\n]*\n)+\n?|\A---\n.*?^---\n", re.MULTILINE | re.DOTALL)


@dataclass
class Command:
    """A command, and the lines of output that the page shows."""

    text: str
    output: list[str] = field(default_factory=list)


@dataclass
class Block:
    """A fenced block of a page."""

    kind: str
    text: str
    caption: str | None

    @property
    def commands(self) -> list[Command]:
        """Return the commands of a console block; a line that ends with a backslash goes on in the next one."""
        commands: list[Command] = []
        is_open = False
        for line in self.text.splitlines():
            if is_open:
                commands[-1].text += " " + line.strip().removesuffix("\\").strip()
            elif line.startswith("$ "):
                commands.append(Command(re.sub(r"\s+# .*", "", line[2:]).removesuffix("\\").strip()))
            else:
                commands[-1].output.append(line.rstrip())
            is_open = line.endswith("\\") and (is_open or line.startswith("$ "))
        return commands


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order; `{code-block} python` is of the kind `python`."""
    blocks = []
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        kind = match["kind"].strip().replace("{code-block}", "").strip()
        caption = _CAPTION.match(match["text"])
        blocks.append(Block(kind, _CAPTION.sub("", match["text"]), caption and caption[1]))
    return blocks


def code_cells(page: Path) -> list[str]:
    """Return the code cells of a text notebook."""
    return [_CELL_OPTIONS.sub("", block.text) for block in blocks_of(page) if block.kind.startswith("{code-cell}")]


def is_text_notebook(page: Path) -> bool:
    """Return whether a page has code cells."""
    return bool(code_cells(page))
