"""Writes the parts of the documentation that come from the code and from the kept runs, each time when it is built."""

from pathlib import Path

from cnn_experiments.markdown import markdown_table
from cnn_experiments.report.published.comparison import compare_with_published
from cnn_experiments.report.published.reference import load_recipes
from cnn_experiments.report.published.render import format_reported, format_row
from cnn_experiments.runs.records import find_runs

RUNS = Path(__file__).parents[1] / "docs" / "runs"


def write_generated_pages(directory: Path) -> None:
    """Write all parts below a directory."""
    parts = {f"results/{network_slug(network)}.md": table for network, table in results_tables().items()}
    for name, text in parts.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


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
        network: markdown_table(["recipe", "published", "this project", "verdict"], lines, [True] * 4) + "\n"
        for network, lines in rows.items()
    }
