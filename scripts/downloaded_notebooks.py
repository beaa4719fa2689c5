"""Completes the executed notebooks that a reader downloads from the documentation.

MyST-NB writes a page's Markdown as it is. What only Sphinx understands would be dead text in Jupyter.
"""

import re
from pathlib import Path
from typing import Any

import nbformat

_DOWNLOAD = re.compile(r"^\{nb-download\}`[^`]*`\n*", re.MULTILINE)
_INCLUDE = re.compile(r"^```\{include\} (?P<path>\S+)\n(?::.*\n)*```$", re.MULTILINE)
_CODE_BLOCK = re.compile(
    r"^```\{code-block\} (?P<language>\w+)\n(?::caption: (?P<caption>.*)\n)?(?::.*\n)*", re.MULTILINE
)
_RELATIVE_LINK = re.compile(r"\[(?P<text>[^\[\]]+)\]\((?!https?:)[^()\s]+\)")


def complete_notebooks(pages: Path, executed: Path) -> None:
    """Complete all executed notebooks below a directory, each of which is at the path of its page."""
    for path in sorted(executed.rglob("*.ipynb")):
        page = pages / path.relative_to(executed)
        notebook = nbformat.read(path, as_version=4)
        complete_notebook(notebook, page.parent)
        nbformat.write(notebook, path)


def complete_notebook(notebook: Any, directory: Path) -> None:
    """Change a notebook to what Jupyter can show. To do so again changes nothing.

    Args:
        notebook: as nbformat reads it.
        directory: that of the notebook's page, which included files are relative to.
    """
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _plain_markdown(cell.source, directory)
        elif cell.cell_type == "code":
            cell.outputs = _without_repetitions(cell.outputs)
            if "hide-cell" in cell.metadata.get("tags", []):
                cell.metadata["jupyter"] = {"source_hidden": True, "outputs_hidden": True}


def _plain_markdown(text: str, directory: Path) -> str:
    """Return Markdown without Sphinx's roles and directives, and with the text in the place of relative links."""
    text = _DOWNLOAD.sub("", text)
    text = _INCLUDE.sub(lambda match: (directory / match["path"]).read_text(encoding="utf-8").strip(), text)
    text = _CODE_BLOCK.sub(lambda match: f"{match['caption'] or ''}\n\n```{match['language']}\n".lstrip(), text)
    return _RELATIVE_LINK.sub(lambda match: match["text"], text)


def _without_repetitions(outputs: list[Any]) -> list[Any]:
    """Return outputs without the progress bars that were cleared, and without texts that an earlier one has.

    For the page, MyST-NB adds the texts of later streams to the first one (`nb_merge_streams`) and keeps them all.
    """
    kept: list[Any] = []
    streams: dict[str, str] = {}
    for output in outputs:
        if output.output_type == "stream":
            if output.text.strip() in streams.get(output.name, ""):
                continue
            streams[output.name] = streams.get(output.name, "") + output.text
        elif output.output_type == "display_data" and not any(output.data.values()):
            continue
        kept.append(output)
    return kept
