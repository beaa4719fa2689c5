"""What is written down about a run that could not do so itself."""

from datetime import datetime
from pathlib import Path
from typing import Any

from cnn_experiments.combination import Combination
from cnn_experiments.run_folder import Standing, write_results


def settle(folder: Path, run: Combination, status: str, error: str) -> Standing:
    """How a run stands whose process has ended.

    Args:
        folder: the run's.
        run: its settings, for a run that came to nothing.
        status: what is written down where the run itself has not done so, failed or interrupted.
        error: why.
    """
    standing = Standing.of(folder)
    unsettled = standing.results.get("status") == "running" or standing.status in ("new", "damaged")
    if standing.status == "running" or not unsettled:
        return standing
    if status == "interrupted" and standing.status == "new":
        return standing  # it had not begun
    facts = {"status": status, "error": error}
    folder.mkdir(parents=True, exist_ok=True)
    write_results(folder, _beginning(run) | standing.results | facts)
    with (folder / "run.log").open("a", encoding="utf-8") as log:
        log.write(f"[{datetime.now():%Y-%m-%d %H:%M:%S,%f}"[:-3] + f"][ERROR] {status}: {error}\n")
    return Standing.of(folder)


def _beginning(run: Combination) -> dict[str, Any]:
    return {
        "model": run.options["model"],
        "data": run.options["data"],
        "options": run.options,
        "overrides": run.overrides,
        "seed": run.settings["seed"],
        "identity": run.identity,
        "metrics": {},
        "epochs": 0,
    }
