"""Tests of what is read from a page."""

from pathlib import Path

import pytest

from tests.docs.pages import code_cells


@pytest.mark.parametrize(
    "options", ["", ":tags: [hide-cell]\n", ":tags: [hide-cell]\n\n", "---\ntags: [hide-cell]\n---\n"]
)
def test_options_of_a_cell_are_not_its_code(options: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n```{{code-cell}} python\n{options}x = 1\n\ny = 2\n```\n")
    assert code_cells(page) == ["x = 1\n\ny = 2\n"]
