"""What a sweep says at its end, and before it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from cnn_experiments.console import print_line, print_table
from cnn_experiments.runs.directory import Standing, short
from cnn_experiments.sweep.monitor import STYLES, reason, status_of
from cnn_experiments.sweep.plan import Impossible, there
from cnn_experiments.sweep.run import Run


def tell_runs(runs: Sequence[Run], impossible: Impossible, folder: Path) -> None:
    """The end of a sweep: every run, what became of it, and what to do next."""
    table = Table(title=str(short(folder.absolute())), title_justify="left")
    for name in ("run", "status"):
        table.add_column(name, no_wrap=True)
    for name in ("epochs", "val/acc", "test/acc", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    statuses: Counter[str] = Counter()
    for run in runs:
        standing = run.standing
        shown = status_of(standing)
        statuses[shown] += 1
        metrics = standing.results.get("metrics", {})
        seconds = [spent for spent in standing.results.get("seconds", {}).values() if spent is not None]
        table.add_row(
            Text(run.folder.name),
            Text(shown, style=STYLES.get(standing.status, "")),
            str(standing.results.get("epochs", "")),
            *(_figure(metrics.get(name)) for name in ("val/acc", "test/acc")),
            f"{sum(seconds):.1f}" if seconds else "",
            Text(reason(standing)),
        )
    print_table(table)
    _tell_impossible(impossible)
    print_line(f"{_counted(len(runs))}: {', '.join(f'{number} {status}' for status, number in statuses.items())}")
    if statuses["interrupted"] or statuses["not run"]:
        print_line("to do the rest: the same command again")
    _tell_of_failures(run.standing for run in runs)


def _tell_of_failures(standings: Iterable[Standing]) -> None:
    if any(standing.status == "failed" for standing in standings):
        print_line(
            "to run what failed again: the same command with retry_failed=true; tracebacks are in each run's run.log"
        )


def _counted(runs: int) -> str:
    return f"{runs} run{'s' * (runs != 1)}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _tell_impossible(impossible: Impossible) -> None:
    for refusal in dict.fromkeys(map(str, impossible.refusals)):
        print_line(f"left out: {refusal}", style="yellow")


def tell_plan(folder: Path, runs: Sequence[Run], waiting: Sequence[Run], impossible: Impossible, at_once: int) -> None:
    """What a sweep would do."""
    seconds: dict[Path, float] = {}
    if waiting:
        from cnn_experiments.sweep.estimate import estimates  # torch takes its time

        seconds = estimates(waiting, [run for run in runs if run.standing.status == "completed"])
    table = Table(title=str(short(folder.absolute())), title_justify="left")
    table.add_column("run", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("to do", justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for run in runs:
        standing = run.standing
        to_do = _duration(seconds[run.folder]) if run in waiting else "nothing"
        status = Text(status_of(standing), style=STYLES.get(standing.status, ""))
        table.add_row(Text(run.folder.name), status, to_do, Text(reason(standing)))
    print_table(table)
    _tell_impossible(impossible)
    total = _duration(sum(seconds.values()) / min(at_once, max(1, len(waiting))))
    manner = f", {at_once} at once" if at_once > 1 else ""
    to_do = f"{len(waiting)} to do{manner}: about {total}" if waiting else "nothing to do"
    print_line(f"{_counted(len(runs))}, {to_do}")
    _tell_of_failures(run.standing for run in runs if run not in waiting)


def _duration(seconds: float) -> str:
    """In two units at most: 45 s, 12 min, 3 h 20 min."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def tell_of_others(folder: Path, waiting: Sequence[Run]) -> None:
    """Another name, and a sweep starts anew: what is complete under a name that is near is worth a line."""
    wanted = {run.combination.identity for run in waiting if run.standing.status == "new"}
    for sweep in sorted(folder.parent.iterdir()) if wanted and folder.parent.is_dir() else []:
        if sweep.is_dir() and sweep != folder:
            complete = wanted & {
                identity for identity, path in there(sweep).items() if Standing.of(path).status == "completed"
            }
            if complete:
                print_line(
                    f"{_counted(len(complete))} of these complete in {short(sweep.absolute())}; "
                    f"sweep={sweep.name} goes on there",
                    style="yellow",
                )
