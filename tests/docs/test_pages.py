"""Tests of what is read from a page, and that no command of a page is hidden from the tests."""

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.pages import NOT_RUN, PAGES, blocks_of, code_cells, commands_outside_of_console_blocks


@pytest.mark.parametrize(
    "options", ["", ":tags: [hide-cell]\n", ":tags: [hide-cell]\n\n", "---\ntags: [hide-cell]\n---\n"]
)
def test_options_of_a_cell_are_not_its_code(options: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n```{{code-cell}} python\n{options}x = 1\n\ny = 2\n```\n")
    assert code_cells(page) == ["x = 1\n\ny = 2\n"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_is_in_a_console_block(page: Path) -> None:
    assert commands_outside_of_console_blocks(page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_that_is_not_run_says_why(page: Path) -> None:
    captions = [block.caption.strip('"') for block in blocks_of(page)]
    reasons = [caption.removeprefix(NOT_RUN) for caption in captions if caption.startswith(NOT_RUN.strip())]
    assert [reason for reason in reasons if not reason.strip()] == []


@pytest.mark.parametrize(
    "hidden",
    [
        "```bash\n$ python -m cnn_experiments\n```",
        "```text\npython -m cnn_experiments\n```",
        "~~~console\n$ python -m cnn_experiments\n~~~",
        ":::{code-block} console\n$ python -m cnn_experiments\n:::",
        "- a list\n\n  ```console\n  $ python -m cnn_experiments\n  ```",
        "    python -m cnn_experiments",
        "````{note}\n```console\n$ python -m cnn_experiments\n```\n````",
    ],
)
def test_command_elsewhere_is_found(hidden: str) -> None:
    page = f"# Page\n\n```console\n$ python -m cnn_experiments\n```\n\n{hidden}\n"
    assert [line.strip().removeprefix("$ ") for line in commands_outside_of_console_blocks(page)] == [
        "python -m cnn_experiments"
    ]
