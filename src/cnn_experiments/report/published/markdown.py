"""The ledger as a Markdown file with pictures beside it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from cnn_experiments.report.published.comparison import Ledger, Row
from cnn_experiments.report.published.plots import picture
from cnn_experiments.report.published.reference import recipes
from cnn_experiments.report.published.render import HEAD, cells, notes, published

LEGEND = """\
Test accuracy of the last epoch; of `best/` recipes, of the epoch with the highest validation accuracy, tested once.

- published: the median of all builds with their 5 % and 95 % quantiles in brackets, their number and the best of them;
  or single prints with their source and a band. The band reaches from the lowest print to the highest, and beyond them
  by as much as the builds of the same network under `book/sgd` spread around their median; of NiN's builds 5 % are at
  chance, and there their spread upwards counts on both sides. A wide band is easily met.
- ours: the median with the lowest and the highest in brackets, the number of seeds, the standard deviation (ddof 1).
- verdict: inside, if our median lies in the brackets or the band. A `best/` recipe is above, if every seed beats the
  highest figure that any recipe for its network has published, and the mean does by more than two standard deviations.
- at chance: runs that ended at 10 %, published and ours. train acc: in the last epoch, published and our median.
  A dash is what was not published.
- s/epoch: ours are the wall time of training over its epochs: with test or validation, checkpoints and loading."""


def write(made: Ledger, file: Path) -> None:
    """Writes the file, and a picture for each network into a folder of the file's name without its ending."""
    folder = file.with_suffix("")
    draw(made, folder)
    file.write_text(markdown(made, folder.name), encoding="utf-8")


def draw(made: Ledger, folder: Path) -> None:
    """A picture for each network with runs."""
    folder.mkdir(exist_ok=True)
    for network, rows in _by_network(made).items():
        picture(rows, folder / _picture_of(network))


def _by_network(made: Ledger) -> dict[str, list[Row]]:
    return made.by(lambda row: row.recipe.network)


def _picture_of(network: str) -> str:
    return f"{network.lower().replace(' ', '-')}.png"


def markdown(made: Ledger, pictures: str) -> str:
    """The ledger: a table for each device, what is not measured, and the pictures in a folder of that name."""
    head = ["command", *HEAD[1:], "when, with what"]
    parts = [LEGEND]
    for device, group in made.by(lambda row: row.device).items():
        rows = [[_command(row), *cells(row)[1:], _circumstances(row)] for row in group]
        parts += [f"## On {device}", _table(head, rows)]
    if made.missing:
        rows = [[f"`{recipe.command}`", published(recipe), "not measured"] for recipe in made.missing]
        parts += ["## Not measured", _table(("command", "published", "ours"), rows)]
    if made.left_out:
        parts += ["## Left out", "\n".join(f"- {line}" for line in made.left_out)]
    parts += ["## About the published figures", "\n".join(f"- {line}" for line in notes(recipes().values()))]
    if made.rows:
        parts.append("## Curves")
        parts += [
            f"![{name}: published and our curves]({quote(pictures)}/{_picture_of(name)})" for name in _by_network(made)
        ]
    return "\n\n".join(parts) + "\n"


def _command(row: Row) -> str:
    seeds = ",".join(str(run.results["seed"]) for run in row.runs)
    command = row.recipe.command.replace(" experiment=", " -m experiment=") if "," in seeds else row.recipe.command
    return f"`{command} seed={seeds}`"


def _circumstances(row: Row) -> str:
    """Date, versions and commit of a row's runs."""
    first = [run.results for run in row.runs]
    dates = sorted({str(each.get("started"))[:10] for each in first})
    versions = sorted(
        {f"torch {each['versions']['torch']}, lightning {each['versions']['lightning']}" for each in first}
    )
    commits = sorted({f"commit {_short(each['git_commit'])}" for each in first if each.get("git_commit")})
    return "; ".join([" to ".join(dates[:: max(1, len(dates) - 1)]), *versions, *commits])


def _short(commit: str) -> str:
    digits, _, dirty = commit.partition("-")
    return f"{digits[:7]}-{dirty}" if dirty else digits[:7]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells as a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
