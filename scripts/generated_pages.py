"""Writes the parts of the documentation that come from the code and from the kept runs, when it is built.

What takes long is made again only if the code or the configuration has changed.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from benchmark_tables import benchmark_parts
from configuration_files import read_main_settings, read_options
from configuration_tables import configuration_parts
from network_table import model_table
from run_directory_tables import files_table, keys_table

from cnn_experiments.config.call import configured
from cnn_experiments.config.sources import CONF
from cnn_experiments.markdown import markdown_table
from cnn_experiments.report.published.comparison import compare_with_published
from cnn_experiments.report.published.reference import load_recipes
from cnn_experiments.report.published.render import format_reported, format_row, plot_filename
from cnn_experiments.runs.records import find_runs

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "docs" / "runs"
BENCHMARKS = ROOT / "docs" / "benchmarks"
PACKAGE = ROOT / "src" / "cnn_experiments"
CODE_SUFFIXES = (".jinja", ".py", ".yaml")
CACHE = "slow_parts.json"
"""The file beside the parts that keeps those that take long, and the hash of the code that made them."""

Parts = Mapping[str, str]
"""Markdown by the name of its file, without `.md`."""


def write_generated_pages(directory: Path) -> None:
    """Write all parts below a directory, and remove what nothing makes any more."""
    parts = {f"results/{Path(plot_filename(network)).stem}": table for network, table in results_tables().items()}
    parts |= {"run_directory/files": files_table(), "run_directory/keys": keys_table()}
    parts |= {f"benchmarks/{name}": text for name, text in benchmark_parts(BENCHMARKS).items()}
    parts |= cached_slow_parts(directory / CACHE)
    paths = {directory / f"{name}.md": f"{text}\n" for name, text in parts.items()}
    for path, text in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in directory.rglob("*"):
        if path.is_file() and path not in paths and path.name != CACHE:
            path.unlink()


def cached_slow_parts(cache: Path) -> Parts:
    """Return the parts that take long: those in a file if the same code made them, or else new ones, which it keeps."""
    code = hash_of_code(ROOT / "src", CONF, ROOT / "scripts")
    content = json.loads(cache.read_text(encoding="utf-8")) if cache.exists() else {}
    if content.get("code") != code:
        content = {"code": code, "parts": slow_parts()}
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps(content), encoding="utf-8")
    parts: Parts = content["parts"]
    return parts


def slow_parts() -> Parts:
    """Return the table of networks, the tables of settings and the texts of `--help`."""
    with configured(None):  # the words of the command line are Sphinx's
        parts = {"networks/table": model_table()}
        parts |= {f"configuration/{name}": table for name, table in configuration_tables().items()}
    return parts | {f"command_line/{name}": text for name, text in help_texts().items()}


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


def hash_of_code(*directories: Path) -> str:
    """Return a hash of the code and the configuration in directories, and of the version of torch."""
    contents = [
        path.relative_to(directory.parent).as_posix().encode() + path.read_bytes()
        for directory in directories
        for path in sorted(directory.rglob("*"))
        if path.suffix in CODE_SUFFIXES
    ]
    return hashlib.sha256(b"\0".join([torch.__version__.encode(), *contents])).hexdigest()[:16]


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
