"""Tests that every command on every page does what the page says, or that the page says why it is not run.

The commands of a page run one after another in one directory, as a reader would type them, with overrides that make a
training short. A command of which the page shows an error must print exactly this error.
"""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.commands import run
from tests.conftest import ROOT
from tests.docs.page_files import PAGE_FILES
from tests.docs.pages import PAGES, Command, blocks_of

SHORT_RUN = (
    "trainer=smoke", "trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.limit_train_batches=1",
    "trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "data.batch_size=8",
)  # fmt: skip
"""Overrides that make a training short."""

ERROR = re.compile(r"[\w./@+-]+=.*: |[\w.]+: must ")
"""The beginning of a line about a setting, or a part, that is rejected."""

WITHOUT_TRAINING = re.compile(r"(?<!\S)(--help|--cfg|--version|task=(?!train|find_lr)\w+|dry_run=true)(?!\S)")
SHELL_COMMANDS = ("cat", "cd", "cp", "ls", "mkdir", "unzip")


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).with_suffix("").as_posix()


def has_commands(page: Path) -> bool:
    return any(block.is_run for block in blocks_of(page))


@pytest.mark.parametrize("page", [page for page in PAGES if has_commands(page)], ids=page_id)
def test_commands_of_page(page: Path, tmp_path: Path) -> None:
    if page_id(page) in PAGE_FILES:
        PAGE_FILES[page_id(page)](tmp_path)
    for block in blocks_of(page):
        if block.is_run:
            for command in block.commands:
                check_command(command, tmp_path)
        elif block.file_name:
            path = tmp_path / block.file_name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)


def check_command(command: Command, directory: Path) -> None:
    """Run a command in a directory; its status is 0, or it prints the error that the page shows."""
    environment, words = {}, shlex.split(command.text)
    while re.match(r"[A-Z_]+=", words[0]):
        name, _, environment[name] = words.pop(0).partition("=")
    if words[0] in SHELL_COMMANDS:
        subprocess.run(words, cwd=directory, check=True)
        return
    if words[0] == "make":  # what it runs is tested elsewhere
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    if words[0] == "cnn-experiments":
        words = ["python", "-m", "cnn_experiments", *words[1:]]
    assert words[:2] == ["python", "-m"], f"{command.text}: only commands of this package are run"
    module, *arguments = words[2:]
    shown = "\n".join(command.output).strip("\n")
    if ERROR.match(shown):
        completed = run(directory, *arguments, module=module, **environment)
        assert (completed.returncode, completed.stderr.rstrip("\n")) == (2, shown)
        return
    trains = module == "cnn_experiments" and not WITHOUT_TRAINING.search(command.text)
    completed = run(directory, *arguments, *(short_run(arguments) if trains else ()), module=module, **environment)
    assert completed.returncode == 0, f"{command.text}\n{completed.stdout}{completed.stderr}"
    if "task=inspect" in arguments and shown:
        assert re.fullmatch(with_dots_as_any_lines(shown), completed.stdout.rstrip(), re.DOTALL), completed.stdout


def short_run(arguments: list[str]) -> tuple[str, ...]:
    """Return the overrides that make a training short, on the digits unless the command trains on images of its user."""
    own_images = any(re.match(r"data=(?!\w*mnist|cifar|svhn)", argument) for argument in arguments)
    return SHORT_RUN if own_images else ("data=digits", *SHORT_RUN)


def with_dots_as_any_lines(shown: str) -> str:
    """Return a pattern for an output of which lines are left out at the lines `...`."""
    return "\n".join(r"(?:.*\n)*?.*" if line == "..." else re.escape(line) + r"\s*?" for line in shown.splitlines())
