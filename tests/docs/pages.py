"""The pages of the documentation: their files, commands and code cells, as a reader finds them.

A block ```` ```console ```` has commands, which begin with `$ `, and their outputs. A block whose caption, or whose first
line after a `#`, is a file's name is that file. A block whose caption begins with `Not run by the tests: ` says why its commands are not run.
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
_FILE_NAME = re.compile(r"(?:# )?([\w./-]+\.\w+)")
_COMMAND = re.compile(r"\s*(\$ |(python -m|cnn-experiments|make|pip) \w)")
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
    caption: str

    @property
    def file_name(self) -> str | None:
        """Return the name of the file that the block is, if it is one."""
        name = _FILE_NAME.fullmatch(self.caption or self.text.partition("\n")[0])
        return name and name[1]

    @property
    def is_run(self) -> bool:
        """Return whether the block has commands that the tests run."""
        return self.kind == "console" and not self.caption.strip('"').startswith(NOT_RUN)

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


def _kind(block: re.Match[str]) -> str:
    return block["kind"].strip().replace("{code-block}", "").strip()


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order; `{code-block} python` is of the kind `python`."""
    blocks = []
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        kind = _kind(match)
        caption = _CAPTION.match(match["text"])
        blocks.append(Block(kind, _CAPTION.sub("", match["text"]), caption[1] if caption else ""))
    return blocks


def commands_outside_of_console_blocks(text: str) -> list[str]:
    """Return the lines of a page that begin as commands do and are in no console block, so that no test runs them."""
    outside = _BLOCK.sub(lambda block: "" if _kind(block) == "console" else block[0], text)
    return [line for line in outside.splitlines() if _COMMAND.match(line)]


def code_cells(page: Path) -> list[str]:
    """Return the code cells of a text notebook."""
    return [_CELL_OPTIONS.sub("", block.text) for block in blocks_of(page) if block.kind.startswith("{code-cell}")]


def is_text_notebook(page: Path) -> bool:
    """Return whether a page has code cells."""
    return bool(code_cells(page))
