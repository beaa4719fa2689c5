"""Tests that a downloaded notebook has nothing that only Sphinx understands."""

from pathlib import Path

import pytest
from downloaded_notebooks import complete_notebook, complete_notebooks
from nbformat import NotebookNode, read, write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output


def notebook_of(*cells: NotebookNode) -> NotebookNode:
    return new_notebook(cells=list(cells))


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("# LeNet\n\n{nb-download}`Download this page <lenet.ipynb>`\n\nText", "# LeNet\n\nText"),
        ("```{include} ../generated/table.md\n```\n\nText", "| a |\n| - |\n\nText"),
        ("As [LeNet](lenet.md#layers) has, [all](../results.md).", "As LeNet has, all."),
        ("See [the paper](https://arxiv.org/abs/1409.1556).", "See [the paper](https://arxiv.org/abs/1409.1556)."),
        ("```{code-block} console\n:caption: Not run\n$ date\n```", "Not run\n\n```console\n$ date\n```"),
        ("```{code-block} yaml\na: 1\n```", "```yaml\na: 1\n```"),
    ],
)
def test_markdown_is_what_jupyter_shows(page: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "generated").mkdir()
    (tmp_path / "course").mkdir()
    (tmp_path / "generated" / "table.md").write_text("| a |\n| - |\n")
    notebook = notebook_of(new_markdown_cell(page))
    complete_notebook(notebook, tmp_path / "course")
    assert notebook.cells[0].source == expected


def test_only_cells_tagged_hide_cell_are_folded(tmp_path: Path) -> None:
    notebook = notebook_of(new_code_cell("x = 1"), new_code_cell("x", metadata={"tags": ["hide-cell"]}))
    complete_notebook(notebook, tmp_path)
    shown, folded = notebook.cells
    assert shown.metadata == {}
    assert folded.metadata == {"tags": ["hide-cell"], "jupyter": {"source_hidden": True, "outputs_hidden": True}}


def test_text_of_merged_streams_is_kept_once(tmp_path: Path) -> None:
    outputs = [
        new_output("stream", name="stdout", text="start\nepoch 1\nepoch 2\n"),
        new_output("display_data", data={"text/html": "", "text/plain": ""}),
        new_output("stream", name="stdout", text="epoch 1\n"),
        new_output("stream", name="stderr", text="a warning\n"),
        new_output("stream", name="stdout", text="epoch 2\n"),
        new_output("execute_result", data={"text/plain": "3"}),
    ]
    notebook = notebook_of(new_code_cell("train()", outputs=outputs))
    complete_notebook(notebook, tmp_path)
    assert notebook.cells[0].outputs == [outputs[0], outputs[3], outputs[5]]


def test_notebooks_include_files_relative_to_their_page(tmp_path: Path) -> None:
    (tmp_path / "docs" / "generated").mkdir(parents=True)
    (tmp_path / "docs" / "course").mkdir()
    (tmp_path / "docs" / "generated" / "table.md").write_text("| a |\n")
    path = tmp_path / "executed" / "course" / "lenet.ipynb"
    path.parent.mkdir(parents=True)
    write(notebook_of(new_markdown_cell("```{include} ../generated/table.md\n```")), path)
    for _ in range(2):  # a second build completes it again
        complete_notebooks(tmp_path / "docs", tmp_path / "executed")
        assert read(path, as_version=4).cells[0].source == "| a |"
