"""Writes the parts of the documentation that come from the code and from the kept runs, when it is built.

What takes long is written again only if a file has changed that it depends on.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from configuration_files import read_main_settings, read_options
from configuration_tables import configuration_parts
from network_table import model_table
from run_directory_tables import files_table, keys_table

from cnn_experiments.config.call import configured
from cnn_experiments.config.sources import CONF
from cnn_experiments.markdown import markdown_table
from cnn_experiments.report.published.comparison import compare_with_published
from cnn_experiments.report.published.reference import load_recipes
from cnn_experiments.report.published.render import format_reported, format_row
from cnn_experiments.runs.records import find_runs

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "docs" / "runs"
PACKAGE = ROOT / "src" / "cnn_experiments"
_OF_NETWORKS = (ROOT / "scripts" / "network_table.py", PACKAGE / "analysis", PACKAGE / "models", CONF / "model")
"""What decides about the table of networks."""
_OF_SETTINGS = (ROOT / "scripts", PACKAGE, CONF)
"""What decides about the tables of settings and the texts of `--help`."""

Parts = Mapping[str, str]
"""Markdown by the name of its file, without `.md`."""


def write_generated_pages(directory: Path) -> None:
    """Write all parts below a directory."""
    _write(directory, {f"results/{network_slug(network)}": table for network, table in results_tables().items()})
    _write(directory, {"run_directory/files": files_table(), "run_directory/keys": keys_table()})
    with configured(None):  # the words of the command line are Sphinx's
        _write_if_changed(directory, "networks", _OF_NETWORKS, lambda: {"table": model_table()})
        _write_if_changed(directory, "configuration", _OF_SETTINGS, configuration_tables)
    _write_if_changed(directory, "command_line", _OF_SETTINGS, help_texts)


def configuration_tables() -> Parts:
    """Return the tables of all options and settings."""
    return configuration_parts(read_options(CONF), read_main_settings(CONF))


def help_texts() -> Parts:
    """Return what the commands print with `--help`."""
    return {"help": _help_of("cnn_experiments"), "report": _help_of("cnn_experiments.report")}


def _help_of(module: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", module, "--help"]
    completed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    return f"```text\n{completed.stdout.strip()}\n```"


def _write(directory: Path, parts: Parts) -> None:
    for name, text in parts.items():
        path = directory / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != f"{text}\n":
            path.write_text(f"{text}\n", encoding="utf-8")


def _write_if_changed(directory: Path, name: str, sources: Sequence[Path], make: Callable[[], Parts]) -> None:
    """Write the parts of a page, unless they were written from the same sources.

    Args:
        directory: of all parts.
        name: of the directory of these parts in it.
        sources: files, and directories of Python and YAML files.
        make: returns the parts.
    """
    stamp = directory / name / "sources.sha256"
    digest = _hash_of(sources)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return
    _write(directory / name, make())
    stamp.write_text(digest, encoding="utf-8")


def _hash_of(sources: Sequence[Path]) -> str:
    """Return a hash of files, of the Python and YAML files in directories, and of the version of torch."""
    paths = {path for source in sources for path in (source, *source.rglob("*"))}
    files = sorted(path for path in paths if path.suffix in (".py", ".yaml"))
    contents = [path.relative_to(ROOT).as_posix().encode() + path.read_bytes() for path in files]
    return hashlib.sha256(b"\0".join([torch.__version__.encode(), *contents])).hexdigest()


def network_slug(network: str) -> str:
    """Return the name of a network in the names of files: `BN-LeNet` becomes `bn-lenet`."""
    return network.lower().replace(" ", "-")


def results_tables() -> dict[str, str]:
    """Return a Markdown table of the published and our results of each network, by the network's name."""
    comparison = compare_with_published(find_runs([RUNS])[0])
    rows: dict[str, list[list[str]]] = {}
    for recipe in load_recipes().values():
        results = [format_row(result) for result in comparison.results if result.recipe == recipe]
        reached = [(row["ours"], row["verdict"]) for row in results] or [("not measured", "-")]
        rows.setdefault(recipe.network, []).extend(
            [f"`experiment={recipe.name}`", format_reported(recipe), ours, verdict] for ours, verdict in reached
        )
    return {
        network: markdown_table(["recipe", "published", "this project", "verdict"], lines, [True] * 4)
        for network, lines in rows.items()
    }
